/** Steps of sched-in and sched-out, of the task work, and of the slot that it claims (kernel/events/core.c). */
import { EventState } from '../event-state.ts';
import { type Operation, runToEnd, Step } from '../step.ts';
import type { PostedMachine } from './machine.ts';
import { addWithoutStart, delPmu, startPmu, stopPmu } from './output.ts';
import type { PostedParts } from './parts.ts';
import { type PostedState, PostedWord } from './state.ts';
import { STOP_READS, STOP_WRITES, stepsOn } from './step-forms.ts';

const PUT_READS = ['rb.auxMmapCount', 'rb.mmapCount', 'rb.pagesIn', 'machine.stored', 'machine.pages'] as const;
const PUT_WRITES = [
  'rb.paused',
  'rb.auxMmapCount',
  'rb.mmapCount',
  'rb.pagesIn',
  'machine.pages',
  'recorder.pinned',
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

/** `unpin` is __unpin_event_pages, to be run to its end within one step. */
export function postedClaimSteps(parts: PostedParts, unpin: (event: number) => Operation<void>) {
  return { ...schedSteps(parts), ...workSteps(parts.state, parts.machine), ...pinSteps(parts, unpin) };
}

function schedSteps(parts: PostedParts) {
  const { state, machine } = parts;
  const on = stepsOn(state);
  return {
    // event_sched_in with perf_event_queue_work. 1: ACTIVE now.
    schedIn: on(
      'event_sched_in',
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
    schedOut: on('event_sched_out', STOP_READS, [...STOP_WRITES, 'event.state', 'event.oncpu'], (event, to) => {
      if (state.get(event, PostedWord.state) !== EventState.active) return 0;
      delPmu(parts, event);
      state.set(event, PostedWord.oncpu, -1);
      state.set(event, PostedWord.state, to);
      return 1;
    }),
    // perf_event_stop(event, 1): a cross-call to where the event is ACTIVE, tried again until it is met there.
    restart: on(
      'perf_event_stop',
      [...START_READS, ...STOP_READS],
      [...STOP_WRITES, ...START_WRITES],
      (event) => {
        if (state.get(event, PostedWord.state) !== EventState.active) return 0;
        stopPmu(parts, event);
        startPmu(parts, event, state.get(event, PostedWord.oncpu));
        return 1;
      },
      { crossCall: true, startsPmu: true },
    ),
    // PERF_EVENT_IOC_DISABLE.
    disable: on(
      'perf_event_disable',
      STOP_READS,
      [...STOP_WRITES, 'event.state', 'event.oncpu'],
      (event) => {
        const from = state.get(event, PostedWord.state);
        if (from < EventState.inactive) return 0;
        if (from === EventState.active) delPmu(parts, event);
        state.set(event, PostedWord.oncpu, -1);
        state.set(event, PostedWord.state, EventState.off);
        return 1;
      },
      { crossCall: true },
    ),
  };
}

function workSteps(state: PostedState, machine: PostedMachine) {
  const on = stepsOn(state);
  return {
    // b: the task. How many works were detached; they are the machine's latest list.
    detachWorks: new Step(
      'task_work_run.detach',
      ['machine.works'],
      ['machine.works'],
      (_, task) => machine.detachWorks(task).length,
    ),
    clearFunc: on('get_pages_work.clear', [], ['event.func'], (event) => {
      state.set(event, PostedWord.func, 0);
      return 0;
    }),
    // 1: `!rb || current->flags & PF_EXITING` does not hold.
    readExiting: on('PF_EXITING.read', ['event.task', 'machine.exiting'], [], (event) =>
      machine.isExiting(state.get(event, PostedWord.task)) ? 0 : 1,
    ),
    // rb->shmem_file_addr.
    readAddress: on('shmem_file_addr.read', ['rb.address'], [], (event) => state.get(event, PostedWord.address)),
    // atomic_cmpxchg(&xpinned, 1, 0): what it was.
    cmpxchgXpinned: on('xpinned.cmpxchg', ['event.xpinned'], ['event.xpinned'], (event) => {
      const xpinned = state.get(event, PostedWord.xpinned);
      if (xpinned === 1) state.set(event, PostedWord.xpinned, 0);
      return xpinned;
    }),
  };
}

function pinSteps(parts: PostedParts, unpin: (event: number) => Operation<void>) {
  const { state, machine } = parts;
  const on = stepsOn(state);
  return {
    // this_cpu_ptr(&shmem_events): the address alone, of the CPU the task is on at this moment.
    thisCpuSlot: on('this_cpu_ptr', ['event.task', 'machine.cpu'], [], (event) =>
      machine.currentCpu(state.get(event, PostedWord.task)),
    ),
    readSlot: new Step('shmem_events.read', ['cpu.slot'], [], (_, cpu) => state.slot(cpu)),
    // old_event->state > PERF_EVENT_STATE_DEAD.
    oldState: on('old_event.state', ['event.state'], [], (old) => state.get(old, PostedWord.state)),
    // event_function_call(old_event, __unpin_event_pages): an IPI where its task runs, else under the context lock, and
    // nothing at all once its task is gone.
    unpin: on(
      '__unpin_event_pages',
      ['event.xpinned', ...STOP_READS, ...PUT_READS],
      ['event.xpinned', ...STOP_WRITES, ...PUT_WRITES],
      (old) => {
        if (state.get(old, PostedWord.tombstone) !== 0) {
          machine.missCall(old);
          return 0;
        }
        return atOnce(unpin(old));
      },
      { crossCall: true },
    ),
    setSlot: new Step(
      'shmem_events.set',
      [],
      ['cpu.slot'],
      (event, cpu) => {
        state.setSlot(cpu, event);
        return 0;
      },
      { looksUp: true },
    ),
    // atomic_inc_return(&xpinned).
    incXpinned: on('xpinned.inc', ['event.xpinned'], ['event.xpinned'], (event) =>
      state.change(event, PostedWord.xpinned, 1),
    ),
    // atomic_dec_return(&xpinned).
    decXpinned: on('xpinned.dec', ['event.xpinned'], ['event.xpinned'], (event) =>
      state.change(event, PostedWord.xpinned, -1),
    ),
    // READ_ONCE(event->state) == ACTIVE, then pmu->stop(UPDATE).
    stopActive: on('pmu.stop', STOP_READS, STOP_WRITES, (event) => {
      if (state.get(event, PostedWord.state) === EventState.active) stopPmu(parts, event);
      return 0;
    }),
  };
}

/** An operation that nothing interrupts, as one step. */
function atOnce(operation: Operation<unknown>): number {
  runToEnd(operation);
  return 0;
}
