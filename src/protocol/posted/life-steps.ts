/** Steps of an event's mapping, account and life. */
import { EventState } from '../event-state.ts';
import { Step } from '../step.ts';
import type { PostedMachine } from './machine.ts';
import { delPmu } from './output.ts';
import type { PostedParts } from './parts.ts';
import { type PostedState, PostedWord } from './state.ts';
import { STOP_READS, STOP_WRITES, stepsOn } from './step-forms.ts';

export function postedLifeSteps(parts: PostedParts) {
  return { ...injectionSteps(parts.state, parts.machine), ...lifeSteps(parts) };
}

function injectionSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    // get_task_mm(current): the mm, or 0.
    taskMm: on('get_task_mm', ['event.task', 'machine.mm'], [], (event) =>
      machine.taskMm(state.get(event, PostedWord.task)),
    ),
    // b: the mm. The address, or a negative errno.
    map: on('vm_mmap', ['mm.maps'], ['mm.maps', 'machine.mapping'], (event, mm) => machine.mapShared(event, mm)),
    // b: the mm.
    setMapping: on('mmap_mapping.set', [], ['rb.mm'], (event, mm) => {
      state.set(event, PostedWord.mm, mm);
      return 0;
    }),
    // b: the address, or what vm_mmap answered instead.
    setAddress: on('shmem_file_addr.set', [], ['rb.address'], (event, address) => {
      state.set(event, PostedWord.address, address);
      return 0;
    }),
    // 1: there is something to unmap (rb_shmem_unmap's two tests).
    checkAddress: on('shmem_file_addr.check', ['rb.address', 'event.state'], [], (event) =>
      state.get(event, PostedWord.address) !== 0 && state.get(event, PostedWord.state) !== EventState.exit ? 1 : 0,
    ),
    readMapping: on('mmap_mapping.read', ['rb.mm'], [], (event) => state.get(event, PostedWord.mm)),
    // b: the mm. down_write(&mm->mmap_sem), do_munmap, up_write.
    munmap: on(
      'do_munmap',
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

function lifeSteps(parts: PostedParts) {
  const { state, machine, account } = parts;
  const on = stepsOn(state);
  return {
    // b: the task. perf_event_alloc with rb_alloc_detached: no other actor knows it yet. Where no injection is wanted
    // it counts as done.
    alloc: new Step('perf_event_alloc', ['recorder.records'], ['recorder.records'], (_, task) => {
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
    // b: the mm of the task that frees the last event.
    uncharge: new Step('account.release', ['recorder.account'], ['recorder.account'], (_, mm) => {
      if (--account.users > 0) return 0;
      machine.chargeMm(mm, -account.chargedPages);
      account.chargedPages = 0;
      return 0;
    }),
    // atomic_long_inc_not_zero(&refcount): 0 once it is being freed.
    incRefcount: new Step(
      'refcount.inc',
      ['event.life'],
      ['event.life'],
      (event) => {
        if (state.isFreed(event) || state.get(event, PostedWord.refcount) === 0) return 0;
        return state.change(event, PostedWord.refcount, 1);
      },
      { looksUp: true },
    ),
    decRefcount: on('refcount.dec', [], ['event.life'], (event) => state.change(event, PostedWord.refcount, -1)),
    // perf_remove_from_context, then DEAD under the context lock.
    remove: on(
      'perf_remove_from_context',
      STOP_READS,
      [...STOP_WRITES, 'event.state', 'event.oncpu'],
      (event) => {
        if (state.get(event, PostedWord.state) === EventState.active) delPmu(parts, event);
        state.set(event, PostedWord.oncpu, -1);
        state.set(event, PostedWord.state, EventState.dead);
        return 0;
      },
      { crossCall: true, leavesContext: 'removed' },
    ),
    // perf_event_exit_task_context: scheduled out, EXIT, and its context has no task any more.
    // One that was removed meanwhile is no longer in the context.
    exit: new Step(
      'perf_event_exit_event',
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
      { looksUp: true },
    ),
    // b: the task. task_work_cancel(task, get_pages_work): the newest work of that function, of any event.
    cancel: new Step('task_work_cancel', ['machine.works'], ['machine.works'], (_, task) => machine.cancelWork(task)),
    // The same where the context still has a task.
    cancelOwn: on('task_work_cancel.own', ['event.task', 'machine.works'], ['machine.works'], (event) =>
      state.get(event, PostedWord.tombstone) === 0 ? machine.cancelWork(state.get(event, PostedWord.task)) : -1,
    ),
    resetXpinned: on('xpinned.set', [], ['event.xpinned'], (event) => {
      state.set(event, PostedWord.xpinned, 0);
      return 0;
    }),
    // cmpxchg(pinned_event, event, NULL).
    clearSlot: new Step(
      'shmem_events.cmpxchg',
      ['cpu.slot'],
      ['cpu.slot'],
      (event, cpu) => {
        if (state.slot(cpu) !== event) return 0;
        state.setSlot(cpu, -1);
        return 1;
      },
      { looksUp: true },
    ),
    clearAttach: on('attach_state.clear', [], ['event.attach'], (event) => {
      state.set(event, PostedWord.attach, 0);
      return 0;
    }),
    truncate: on('shmem_truncate_range', ['machine.pages'], ['machine.pages'], (event) => {
      machine.truncate(event);
      return 0;
    }),
    resetAuxMmapCount: on('aux_mmap_count.set', [], ['rb.auxMmapCount'], (event) => {
      state.set(event, PostedWord.auxMmapCount, 0);
      return 0;
    }),
    // The memory of event and ring goes back, after a grace period (call_rcu).
    free: new Step(
      'free_event_rcu',
      ['event.life', 'machine.pmu'],
      ['event.life'],
      (event) => {
        state.set(event, PostedWord.state, EventState.free);
        return 0;
      },
      { enabled: (event) => !machine.isRead(event), leavesContext: 'freed' },
    ),
  };
}
