/** Steps that get and put pages, and that store into them (kernel/events/ring_buffer.c). */
import { Step } from '../step.ts';
import type { PostedMachine } from './machine.ts';
import type { PostedParts } from './parts.ts';
import { type PostedState, PostedWord } from './state.ts';
import { stepsOn } from './step-forms.ts';

export function postedPageSteps({ state, machine }: PostedParts) {
  return { ...getSteps(state, machine), ...putSteps(state, machine), ...writerSteps(state, machine) };
}

/** rb_get_kernel_pages, in the event's task. */
function getSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    incMmapCount: on('mmap_count.inc', ['rb.mmapCount'], ['rb.mmapCount'], (event) =>
      state.change(event, PostedWord.mmapCount, 1),
    ),
    incAuxMmapCount: on('aux_mmap_count.inc', ['rb.auxMmapCount'], ['rb.auxMmapCount'], (event) =>
      state.change(event, PostedWord.auxMmapCount, 1),
    ),
    // b: the page. WRITE_ONCE(rb->shmem_pages_in, i).
    setPagesIn: on('shmem_pages_in.set', [], ['rb.pagesIn'], (event, page) => {
      state.set(event, PostedWord.pagesIn, page);
      return 0;
    }),
    // b: the page. shmem_getpage: may sleep, may fail; the frame or a negative errno.
    getPage: on(
      'shmem_getpage',
      ['machine.pages'],
      ['machine.pages', 'recorder.pinned'],
      (event, page) => machine.getPage(event, page),
      { getsPage: (_, page) => page },
    ),
    // READ_ONCE(rb->shmem_pages_in).
    readPagesIn: on('shmem_pages_in.read', ['rb.pagesIn'], [], (event) => state.get(event, PostedWord.pagesIn)),
    // b: the frame. put_page before a restart.
    dropPage: on('put_page.restart', ['machine.pages'], ['machine.pages', 'recorder.pinned'], (event, frame) => {
      machine.putFrame(event, frame);
      return 0;
    }),
    // b: the frame. set_page_dirty.
    dirtyPage: on('set_page_dirty', [], ['machine.pages'], (event, frame) => {
      machine.dirtyFrame(event, frame);
      return 0;
    }),
    // b: the page. perf_mmap_to_page: what is stored for it.
    mmapToPage: on('perf_mmap_to_page', ['machine.stored'], [], (event, page) => machine.pageAt(event, page)),
    // b: page * 2^16 + frame. Into user_page, data_pages[] or aux_pages[].
    storePage: on('page_address.store', [], ['machine.stored'], (event, packed) => {
      machine.setPage(event, packed >>> 16, packed & 0xffff);
      return 0;
    }),
    freeAux: on('free_aux', ['machine.sg'], ['machine.sg'], (event) => {
      machine.freeSg(event);
      return 0;
    }),
    setupAux: on('setup_aux', ['machine.stored'], ['machine.sg'], (event) => machine.setupSg(event)),
    // 1: rb->aux_priv is there.
    readAuxPriv: on('aux_priv.read', ['machine.sg'], [], (event) => (machine.hasSg(event) ? 1 : 0)),
    // rb_toggle_paused(rb, false): a ring without data pages stays paused.
    clearPaused: on('paused.clear', [], ['rb.paused'], (event) => {
      if (machine.dataPagesOf(event) > 0) state.set(event, PostedWord.paused, 0);
      return 0;
    }),
    // b: the page. The error path's put_page(perf_mmap_to_page(rb, i)).
    putBack: on(
      'put_page.err_put',
      ['machine.stored', 'machine.pages'],
      ['machine.pages', 'recorder.pinned'],
      (event, page) => {
        machine.putFrame(event, machine.pageAt(event, page));
        return 0;
      },
    ),
    decAuxMmapCount: on('aux_mmap_count.dec', ['rb.auxMmapCount'], ['rb.auxMmapCount'], (event) =>
      state.change(event, PostedWord.auxMmapCount, -1),
    ),
    decMmapCount: on('mmap_count.dec', ['rb.mmapCount'], ['rb.mmapCount'], (event) =>
      state.change(event, PostedWord.mmapCount, -1),
    ),
  };
}

/** rb_put_kernel_pages; its counts go down with the steps above. */
function putSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    setPaused: on('paused.set', [], ['rb.paused'], (event) => {
      state.set(event, PostedWord.paused, 1);
      return 0;
    }),
    // Every page below READ_ONCE(rb->shmem_pages_in), one after the other.
    putPages: on(
      'put_page.all',
      ['rb.pagesIn', 'machine.stored', 'machine.pages'],
      ['machine.pages', 'recorder.pinned'],
      (event) => {
        const pagesIn = state.get(event, PostedWord.pagesIn);
        for (let page = 0; page < pagesIn; page++) {
          const frame = machine.pageAt(event, page);
          machine.dirtyFrame(event, frame);
          machine.putFrame(event, frame);
        }
        return pagesIn;
      },
    ),
    clearPagesIn: on('shmem_pages_in.clear', [], ['rb.pagesIn'], (event) => {
      state.set(event, PostedWord.pagesIn, 0);
      return 0;
    }),
  };
}

/** perf_output_begin … end of a software writer, with preemption off; perf_event_update_userpage. */
function writerSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    // rcu_read_lock: the event is found and stays until the writer leaves; 0: it is gone.
    enter: new Step(
      'write.enter',
      ['event.life'],
      ['event.life'],
      (event) => {
        if (state.isFreed(event)) return 0;
        machine.enterRead(event);
        return 1;
      },
      { looksUp: true, preemption: 'off' },
    ),
    // rcu_read_unlock.
    leave: on(
      'write.leave',
      [],
      ['event.life'],
      (event) => {
        machine.leaveRead(event);
        return 0;
      },
      { preemption: 'on' },
    ),
    // 1: not paused.
    begin: on('write.begin', ['rb.paused'], [], (event) => (state.get(event, PostedWord.paused) === 0 ? 1 : 0)),
    // A store through data_pages[].
    store: on('write.store', ['machine.stored', 'machine.pages'], ['machine.ring', 'machine.pages'], (event) => {
      machine.storeData(event);
      return 0;
    }),
    // data_head, in the user page.
    commit: on('write.commit', ['machine.stored', 'machine.pages'], ['machine.userPage', 'machine.pages'], (event) => {
      machine.updateUserPage(event);
      return 0;
    }),
    // "Don't bother with the file backed rb when it's inactive": 1, it is active.
    checkUserPage: on('user_page.check', ['rb.paused'], [], (event) =>
      state.get(event, PostedWord.paused) === 0 ? 1 : 0,
    ),
    // The times.
    updateUserPage: on(
      'user_page.update',
      ['machine.stored', 'machine.pages'],
      ['machine.userPage', 'machine.pages'],
      (event) => {
        machine.updateUserPage(event);
        return 0;
      },
    ),
  };
}
