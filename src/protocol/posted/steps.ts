/**
 * Every step of the patch as posted, as one table: its name (as in docs/PROTOCOL.md), what it reads, what it writes, its effect.
 * The operations beside this file put them in the patch's order, defects included.
 *
 * What is one step, because the kernel's own form lets nothing in between on the CPU concerned: sched-in, sched-out, the
 * stop/start of `perf_event_stop` and the unpin with its put are IPIs, or run with interrupts off or under the context
 * lock while the task is off. Everything else runs in a task, preemptible, and is split at every access.
 *
 * Invariant: an effect touches no location that its row does not declare. Every row of an event also reads `event.life`: a
 * freed event traps. Rows that take or drop page references write `recorder.pinned`, which the patch has not: their sum over
 * all events is what the bound is about.
 */

import { EventState } from '../event-state.ts';
import { type Effect, type Location, type Operation, runToEnd, Step } from '../step.ts';
import type { PostedMachine } from './machine.ts';
import { addWithoutStart, delPmu, startPmu, stopPmu } from './output.ts';
import type { Parts } from './parts.ts';
import { type PostedState, PostedWord } from './state.ts';

/** What an operation of the posted protocol works on. */
export interface Posted extends Parts {
  readonly steps: PostedSteps;
}

export type PostedSteps = ReturnType<typeof postedSteps>;

const PUT_READS = ['rb.auxMmapCount', 'rb.mmapCount', 'rb.pagesIn', 'machine.stored', 'machine.pages'] as const;
const PUT_WRITES = [
  'rb.paused',
  'rb.auxMmapCount',
  'rb.mmapCount',
  'rb.pagesIn',
  'machine.pages',
  'recorder.pinned',
] as const;
/** Stopping ends an AUX transaction, which stores aux_head into the user page and a PERF_RECORD_AUX into the data pages. */
const STOP_READS = ['event.state', 'event.oncpu', 'rb.paused', 'machine.stored', 'machine.pages'] as const;
const STOP_WRITES = [
  'machine.pmu',
  'rb.auxNest',
  'rb.auxRefcount',
  'machine.userPage',
  'machine.pages',
  'machine.ring',
] as const;
const START_READS = [
  'event.state',
  'event.oncpu',
  'rb.auxMmapCount',
  'rb.auxRefcount',
  'rb.auxNest',
  'machine.sg',
] as const;
const START_WRITES = ['machine.pmu', 'rb.auxNest', 'rb.auxRefcount'] as const;

/** All steps, bound to one state and one machine. `unpin` is __unpin_event_pages, to be run to its end within one step. */
export function postedSteps(parts: Parts, unpin: (event: number) => Operation<void>) {
  const { state, machine } = parts;
  return Object.freeze({
    ...schedSteps(parts),
    ...workSteps(state, machine),
    ...pinSteps(parts, unpin),
    ...getSteps(state, machine),
    ...putSteps(state, machine),
    ...injectionSteps(state, machine),
    ...writerSteps(state, machine),
    ...lifeSteps(parts),
  });
}

/** Makes steps on an event, which must still be there. */
function stepsOn(state: PostedState) {
  return (name: string, reads: readonly Location[], writes: readonly Location[], effect: Effect): Step =>
    new Step(name, ['event.life', ...reads], writes, (event, b) => {
      state.expectLiving(event);
      return effect(event, b);
    });
}

/** An operation that nothing can fall into, as one step. */
function atOnce(operation: Operation<unknown>): number {
  runToEnd(operation);
  return 0;
}

function schedSteps(parts: Parts) {
  const { state, machine } = parts;
  const on = stepsOn(state);
  return {
    // event_sched_in with perf_event_queue_work. 1: ACTIVE now.
    schedIn: on(
      'sched-in',
      ['event.state', 'event.task', 'event.func', 'event.attach', 'rb.paused', 'machine.works', 'machine.stored'],
      ['event.state', 'event.oncpu', 'machine.pmu', 'event.func', 'machine.works', 'machine.ring', 'machine.pages'],
      (event, cpu) => {
        if (state.get(event, PostedWord.state) !== EventState.inactive) return 0;
        state.set(event, PostedWord.oncpu, cpu);
        state.set(event, PostedWord.state, EventState.active);
        // perf_log_itrace_start stands before the add: the ring is paused, so the record is lost (D15).
        if (state.get(event, PostedWord.paused) !== 0) machine.missLogStart(event);
        else machine.logStart(event);
        if (addWithoutStart(parts, event, cpu) < 0) {
          state.set(event, PostedWord.state, EventState.inactive);
          state.set(event, PostedWord.oncpu, -1);
          return 0;
        }
        if (state.get(event, PostedWord.attach) === 0) return 1;
        if (state.get(event, PostedWord.func) !== 0) return 1; // perf_event_queue_work: it is queued already
        state.set(event, PostedWord.func, 1);
        machine.queueWork(state.get(event, PostedWord.task), event); // Its failure is not looked at.
        return 1;
      },
    ),
    // event_sched_out: pmu->del, and INACTIVE. b: the state it leaves for.
    schedOut: on('sched-out', STOP_READS, [...STOP_WRITES, 'event.state', 'event.oncpu'], (event, to) => {
      if (state.get(event, PostedWord.state) !== EventState.active) return 0;
      delPmu(parts, event);
      state.set(event, PostedWord.oncpu, -1);
      state.set(event, PostedWord.state, to);
      return 1;
    }),
    // perf_event_stop(event, 1): a cross-call to where the event is ACTIVE, tried again until it is met there.
    restart: on('event.restart', [...START_READS, ...STOP_READS], [...STOP_WRITES, ...START_WRITES], (event) => {
      if (state.get(event, PostedWord.state) !== EventState.active) return 0;
      stopPmu(parts, event);
      startPmu(parts, event, state.get(event, PostedWord.oncpu));
      return 1;
    }),
    // PERF_EVENT_IOC_DISABLE.
    disable: on('event.disable', STOP_READS, [...STOP_WRITES, 'event.state', 'event.oncpu'], (event) => {
      const from = state.get(event, PostedWord.state);
      if (from < EventState.inactive) return 0;
      if (from === EventState.active) delPmu(parts, event);
      state.set(event, PostedWord.oncpu, -1);
      state.set(event, PostedWord.state, EventState.off);
      return 1;
    }),
  };
}

function workSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    // b: the task. How many works were detached; they are the machine's latest list.
    detach: new Step(
      'work.detach',
      ['machine.works'],
      ['machine.works'],
      (_, task) => machine.detachWorks(task).length,
    ),
    clear: on('work.clear', [], ['event.func'], (event) => {
      state.set(event, PostedWord.func, 0);
      return 0;
    }),
    // 1: `!rb || current->flags & PF_EXITING` does not hold.
    mayRun: on('work.may-run', ['event.task', 'machine.exiting'], [], (event) =>
      machine.isExiting(state.get(event, PostedWord.task)) ? 0 : 1,
    ),
    // rb->shmem_file_addr.
    address: on('work.address', ['rb.address'], [], (event) => state.get(event, PostedWord.address)),
    // atomic_cmpxchg(&xpinned, 1, 0): what it was.
    uncount: on('work.uncount', ['event.xpinned'], ['event.xpinned'], (event) => {
      const xpinned = state.get(event, PostedWord.xpinned);
      if (xpinned === 1) state.set(event, PostedWord.xpinned, 0);
      return xpinned;
    }),
  };
}

function pinSteps(parts: Parts, unpin: (event: number) => Operation<void>) {
  const { state, machine } = parts;
  const on = stepsOn(state);
  return {
    // this_cpu_ptr(&shmem_events): the address alone, of the CPU the task is on at this moment.
    slotAddress: on('slot.address', ['event.task', 'machine.cpu'], [], (event) =>
      machine.currentCpu(state.get(event, PostedWord.task)),
    ),
    slotRead: new Step('slot.read', ['cpu.slot'], [], (_, cpu) => state.slot(cpu)),
    // old_event->state > PERF_EVENT_STATE_DEAD.
    slotState: on('slot.state', ['event.state'], [], (old) => state.get(old, PostedWord.state)),
    // event_function_call(old_event, __unpin_event_pages): an IPI where its task runs, else under the context lock, and
    // nothing at all once its task is gone.
    unpin: on(
      'unpin',
      ['event.xpinned', ...STOP_READS, ...PUT_READS],
      ['event.xpinned', ...STOP_WRITES, ...PUT_WRITES],
      (old) => {
        if (state.get(old, PostedWord.tombstone) !== 0) {
          machine.missCall(old);
          return 0;
        }
        return atOnce(unpin(old));
      },
    ),
    slotStore: new Step('slot.store', [], ['cpu.slot'], (event, cpu) => {
      state.setSlot(cpu, event);
      return 0;
    }),
    // atomic_inc_return(&xpinned).
    count: on('xpinned.inc', ['event.xpinned'], ['event.xpinned'], (event) =>
      state.change(event, PostedWord.xpinned, 1),
    ),
    // atomic_dec_return(&xpinned).
    discount: on('xpinned.dec', ['event.xpinned'], ['event.xpinned'], (event) =>
      state.change(event, PostedWord.xpinned, -1),
    ),
    // READ_ONCE(event->state) == ACTIVE, then pmu->stop(UPDATE).
    stopActive: on('unpin.stop', STOP_READS, STOP_WRITES, (event) => {
      if (state.get(event, PostedWord.state) === EventState.active) stopPmu(parts, event);
      return 0;
    }),
  };
}

/** rb_get_kernel_pages, in the event's task. */
function getSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    mmapCountInc: on('mmap-count.inc', ['rb.mmapCount'], ['rb.mmapCount'], (event) =>
      state.change(event, PostedWord.mmapCount, 1),
    ),
    auxCountInc: on('aux-count.inc', ['rb.auxMmapCount'], ['rb.auxMmapCount'], (event) =>
      state.change(event, PostedWord.auxMmapCount, 1),
    ),
    // b: the page. WRITE_ONCE(rb->shmem_pages_in, i).
    pagesIn: on('pages-in.store', [], ['rb.pagesIn'], (event, page) => {
      state.set(event, PostedWord.pagesIn, page);
      return 0;
    }),
    // b: the page. shmem_getpage: may sleep, may fail; the frame or a negative errno.
    getPage: on('page.get', ['machine.pages'], ['machine.pages', 'recorder.pinned'], (event, page) =>
      machine.getPage(event, page),
    ),
    // READ_ONCE(rb->shmem_pages_in).
    checkPagesIn: on('pages-in.check', ['rb.pagesIn'], [], (event) => state.get(event, PostedWord.pagesIn)),
    // b: the frame. put_page before a restart.
    dropPage: on('page.drop', ['machine.pages'], ['machine.pages', 'recorder.pinned'], (event, frame) => {
      machine.putFrame(event, frame);
      return 0;
    }),
    // b: the frame. set_page_dirty.
    dirtyPage: on('page.dirty', [], ['machine.pages'], (event, frame) => {
      machine.dirtyFrame(event, frame);
      return 0;
    }),
    // b: the page. perf_mmap_to_page: what is stored for it.
    storedPage: on('page.stored', ['machine.stored'], [], (event, page) => machine.pageAt(event, page)),
    // b: page * 2^16 + frame. Into user_page, data_pages[] or aux_pages[].
    storePage: on('page.store', [], ['machine.stored'], (event, packed) => {
      machine.setPage(event, packed >>> 16, packed & 0xffff);
      return 0;
    }),
    freeSg: on('aux.free', ['machine.sg'], ['machine.sg'], (event) => {
      machine.freeSg(event);
      return 0;
    }),
    setupSg: on('aux.setup', ['machine.stored'], ['machine.sg'], (event) => machine.setupSg(event)),
    // 1: rb->aux_priv is there.
    checkSg: on('aux.check', ['machine.sg'], [], (event) => (machine.hasSg(event) ? 1 : 0)),
    // rb_toggle_paused(rb, false): a ring without data pages stays paused.
    unpause: on('unpause', [], ['rb.paused'], (event) => {
      if (machine.dataPagesOf(event) > 0) state.set(event, PostedWord.paused, 0);
      return 0;
    }),
    // b: the page. The error path's put_page(perf_mmap_to_page(rb, i)).
    putBack: on(
      'page.put-back',
      ['machine.stored', 'machine.pages'],
      ['machine.pages', 'recorder.pinned'],
      (event, page) => {
        machine.putFrame(event, machine.pageAt(event, page));
        return 0;
      },
    ),
    auxCountDec: on('aux-count.dec', ['rb.auxMmapCount'], ['rb.auxMmapCount'], (event) =>
      state.change(event, PostedWord.auxMmapCount, -1),
    ),
    mmapCountDec: on('mmap-count.dec', ['rb.mmapCount'], ['rb.mmapCount'], (event) =>
      state.change(event, PostedWord.mmapCount, -1),
    ),
  };
}

/** rb_put_kernel_pages; its counts go down with the steps above. */
function putSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    pause: on('pause', [], ['rb.paused'], (event) => {
      state.set(event, PostedWord.paused, 1);
      return 0;
    }),
    // Every page below READ_ONCE(rb->shmem_pages_in), one after the other.
    putPages: on(
      'pages.put-all',
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
    clearPagesIn: on('pages-in.clear', [], ['rb.pagesIn'], (event) => {
      state.set(event, PostedWord.pagesIn, 0);
      return 0;
    }),
  };
}

function injectionSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    // get_task_mm(current): the mm, or 0.
    taskMm: on('inject.mm', ['event.task', 'machine.mm'], [], (event) =>
      machine.taskMm(state.get(event, PostedWord.task)),
    ),
    // b: the mm. The address, or a negative errno.
    map: on('inject.map', ['mm.maps'], ['mm.maps', 'machine.mapping'], (event, mm) => machine.mapShared(event, mm)),
    // b: the mm.
    storeMm: on('inject.store-mm', [], ['rb.mm'], (event, mm) => {
      state.set(event, PostedWord.mm, mm);
      return 0;
    }),
    // b: the address, or what vm_mmap answered instead.
    storeAddress: on('inject.store-address', [], ['rb.address'], (event, address) => {
      state.set(event, PostedWord.address, address);
      return 0;
    }),
    // 1: there is something to unmap (rb_shmem_unmap's two tests).
    isMapped: on('unmap.check', ['rb.address', 'event.state'], [], (event) =>
      state.get(event, PostedWord.address) !== 0 && state.get(event, PostedWord.state) !== EventState.exit ? 1 : 0,
    ),
    injectedMm: on('unmap.mm', ['rb.mm'], [], (event) => state.get(event, PostedWord.mm)),
    // b: the mm. down_write(&mm->mmap_sem), do_munmap, up_write.
    unmap: on(
      'unmap',
      ['rb.address', 'mm.maps', 'mm.life'],
      ['mm.maps', 'machine.mapping', 'rb.address'],
      (event, mm) => {
        machine.unmapAt(event, mm, state.get(event, PostedWord.address));
        state.set(event, PostedWord.address, 0);
        return 0;
      },
    ),
  };
}

/** perf_output_begin … end of a software writer, with preemption off; perf_event_update_userpage. */
function writerSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    // rcu_read_lock: the event is found and stays until the writer leaves; 0: it is gone.
    enter: new Step('write.enter', ['event.life'], ['event.life'], (event) => {
      if (state.isFreed(event)) return 0;
      machine.enterRead(event);
      return 1;
    }),
    // rcu_read_unlock.
    leave: on('write.leave', [], ['event.life'], (event) => {
      machine.leaveRead(event);
      return 0;
    }),
    // 1: not paused.
    checkPaused: on('write.begin', ['rb.paused'], [], (event) => (state.get(event, PostedWord.paused) === 0 ? 1 : 0)),
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
    checkActive: on('user-page.check', ['rb.paused'], [], (event) =>
      state.get(event, PostedWord.paused) === 0 ? 1 : 0,
    ),
    // The times.
    userPage: on(
      'user-page.update',
      ['machine.stored', 'machine.pages'],
      ['machine.userPage', 'machine.pages'],
      (event) => {
        machine.updateUserPage(event);
        return 0;
      },
    ),
  };
}

function lifeSteps(parts: Parts) {
  const { state, machine, account } = parts;
  const on = stepsOn(state);
  return {
    // b: the task. perf_event_alloc with rb_alloc_detached: nobody else knows it yet. Where no injection is wanted it counts as done.
    alloc: new Step('event.alloc', ['recorder.records'], ['recorder.records'], (_, task) => {
      const event = state.add(task);
      if (machine.currentMm(task) === 0) state.set(event, PostedWord.address, 1);
      return event;
    }),
    // The first event's charge: its data pages and the user page, to the creator's mm (D18).
    charge: new Step('account.charge', ['recorder.account', 'event.task'], ['recorder.account'], (event) => {
      if (account.users++ > 0) return 0;
      account.chargedPages = 1 + machine.dataPagesOf(event);
      machine.chargeMm(machine.taskMm(state.get(event, PostedWord.task)), account.chargedPages);
      return account.chargedPages;
    }),
    // b: the mm of whoever frees the last event.
    uncharge: new Step('account.release', ['recorder.account'], ['recorder.account'], (_, mm) => {
      if (--account.users > 0) return 0;
      machine.chargeMm(mm, -account.chargedPages);
      account.chargedPages = 0;
      return 0;
    }),
    // atomic_long_inc_not_zero(&refcount): 0 once it is being freed.
    reference: new Step('event.get', ['event.life'], ['event.life'], (event) => {
      if (state.isFreed(event) || state.get(event, PostedWord.refcount) === 0) return 0;
      return state.change(event, PostedWord.refcount, 1);
    }),
    drop: on('event.put', [], ['event.life'], (event) => state.change(event, PostedWord.refcount, -1)),
    // perf_remove_from_context, then DEAD under the context lock.
    remove: on('event.remove', STOP_READS, [...STOP_WRITES, 'event.state', 'event.oncpu'], (event) => {
      if (state.get(event, PostedWord.state) === EventState.active) delPmu(parts, event);
      state.set(event, PostedWord.oncpu, -1);
      state.set(event, PostedWord.state, EventState.dead);
      return 0;
    }),
    // perf_event_exit_task_context: scheduled out, EXIT, and its context has no task any more.
    // One that was removed meanwhile is no longer in the context.
    exit: new Step(
      'event.exit',
      ['event.life', ...STOP_READS],
      [...STOP_WRITES, 'event.state', 'event.oncpu', 'event.task'],
      (event) => {
        if (state.isFreed(event)) return 0;
        const from = state.get(event, PostedWord.state);
        if (from <= EventState.exit) return 0;
        if (from === EventState.active) delPmu(parts, event);
        state.set(event, PostedWord.oncpu, -1);
        state.set(event, PostedWord.state, EventState.exit);
        state.set(event, PostedWord.tombstone, 1);
        return 0;
      },
    ),
    // b: the task. task_work_cancel(task, get_pages_work): the newest work of that function, whoever's it is.
    cancel: new Step('work.cancel', ['machine.works'], ['machine.works'], (_, task) => machine.cancelWork(task)),
    // The same where the context still has a task.
    cancelOwn: on('work.cancel-own', ['event.task', 'machine.works'], ['machine.works'], (event) =>
      state.get(event, PostedWord.tombstone) === 0 ? machine.cancelWork(state.get(event, PostedWord.task)) : -1,
    ),
    uncountAll: on('xpinned.reset', [], ['event.xpinned'], (event) => {
      state.set(event, PostedWord.xpinned, 0);
      return 0;
    }),
    // cmpxchg(pinned_event, event, NULL).
    slotClear: new Step('slot.clear', ['cpu.slot'], ['cpu.slot'], (event, cpu) => {
      if (state.slot(cpu) !== event) return 0;
      state.setSlot(cpu, -1);
      return 1;
    }),
    unattach: on('event.unattach', [], ['event.attach'], (event) => {
      state.set(event, PostedWord.attach, 0);
      return 0;
    }),
    truncate: on('ring.truncate', ['machine.pages'], ['machine.pages'], (event) => {
      machine.truncate(event);
      return 0;
    }),
    auxCountReset: on('aux-count.reset', [], ['rb.auxMmapCount'], (event) => {
      state.set(event, PostedWord.auxMmapCount, 0);
      return 0;
    }),
    // The memory of event and ring goes back, after a grace period (call_rcu).
    free: new Step(
      'event.free',
      ['event.life', 'machine.pmu'],
      ['event.life'],
      (event) => {
        state.set(event, PostedWord.state, EventState.free);
        return 0;
      },
      (event) => !machine.isRead(event),
    ),
  };
}
