import { describe, expect, it } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { Account } from './account.ts';
import { EventWord, Gate } from './corrected/state.ts';
import { EventState } from './event-state.ts';
import { Pinning, type PinningOptions } from './pinning.ts';
import { locate, type Operation, runToEnd } from './step.ts';
import { type Failing, MemoryMachine } from './testing/memory-machine.ts';

const PAGES = 4;

/** A machine and a protocol on it; `failing` names the calls that fail now. */
function setUp(options: Partial<PinningOptions> = {}, pagesPerCall = PAGES) {
  const failing = new Set<Failing>();
  let budget = Number.POSITIVE_INFINITY;
  const machine = new MemoryMachine({
    pagesPerRing: PAGES,
    pagesPerCall,
    fails: (call) => failing.has(call) || (call === 'getPages' && --budget < 0),
  });
  machine.recording = true;
  const pinning = new Pinning(machine, { cpus: 2, slotsPerCpu: 1, pagesPerRing: PAGES, maxEvents: 8, ...options });
  const run = (task: number, event: number, cpu = 0) => {
    machine.task(task).cpu = cpu;
    const result = runToEnd(pinning.schedIn(event, cpu));
    runToEnd(pinning.taskWorkRun(task));
    return result;
  };
  const failPagesAfter = (calls: number) => {
    budget = calls;
  };
  return { machine, pinning, state: pinning.state, failing, run, failPagesAfter };
}

/** Runs an operation up to and including the step of this name; returns how to run the rest. */
function runPast<R>(operation: Operation<R>, name: string): () => R {
  let next = operation.next(0);
  while (next.done !== true) {
    const step = next.value;
    next = operation.next(step.perform(step.a, step.b));
    if (step.name === name) break;
  }
  return () => {
    while (next.done !== true) next = operation.next(next.value.perform(next.value.a, next.value.b));
    return next.value;
  };
}

describe('live use', () => {
  it('is create, sched-in, task work, write, sched-out, retire, free', () => {
    const { pinning, machine } = setUp({ slotsPerCpu: 4 });
    const account = pinning.protocol.account;
    const event = pinning.create({ task: 7, pages: 2 });
    machine.task(7).cpu = 1;
    expect(pinning.isFront(event, 1)).toBe(false);
    expect(pinning.beginWrite(event)).toBe(false);
    expect(runToEnd(pinning.schedIn(event, 1))).toBe('active');
    runToEnd(pinning.taskWorkRun(7));
    expect(pinning.isFront(event, 1)).toBe(true);
    expect(pinning.beginWrite(event)).toBe(true);
    pinning.endWrite(event);
    runToEnd(pinning.schedOut(event));
    expect(pinning.isFront(event, 1)).toBe(true);
    expect(pinning.stats()).toMatchObject({
      pins: 1,
      unpins: 0,
      starts: 1,
      lost: 1,
      events: 1,
      chargedPages: 2 * 4 * PAGES,
    });
    expect(pinning.stats().pinnedPages).toEqual({ now: 2, peak: 2, bound: 2 * 4 * PAGES });
    runToEnd(pinning.retire(event));
    expect(pinning.touch(event, 1)).toBe(false);
    pinning.free(event);
    expect(pinning.stats()).toMatchObject({ pins: 1, unpins: 1, events: 0, chargedPages: 0 });
    expect(account.chargedPages).toBe(0);
  });

  it('gives a freed record to the next event, clean', () => {
    const { pinning, run } = setUp();
    const first = pinning.create({ task: 1 });
    run(1, first);
    runToEnd(pinning.schedOut(first));
    runToEnd(pinning.retire(first));
    pinning.free(first);
    const second = pinning.create({ task: 2, pages: 3 });
    expect(second).toBe(first);
    expect(pinning.extent(second)).toBe(3);
    expect(run(2, second)).toBe('active');
    expect(pinning.pinnedPages(second)).toBe(3);
  });

  it('refuses impossible sizes with bad-argument', () => {
    const { machine, pinning } = setUp();
    expect(() => new Pinning(machine, { cpus: 0, slotsPerCpu: 1, pagesPerRing: 1 })).toThrow(RingkeepError);
    expect(() => pinning.create({ task: 1, pages: PAGES + 1 })).toThrow(/extent/);
  });

  it('asserts, rather than waits, on a step that would block', () => {
    const { pinning, run } = setUp();
    const event = pinning.create({ task: 1 });
    run(1, event);
    expect(pinning.beginWrite(event)).toBe(true);
    expect(() => runToEnd(pinning.retire(event))).toThrow(/a writer is at work/);
  });
});

describe('sched-in', () => {
  it('adds without START: only the task work starts the event', () => {
    const { pinning, machine } = setUp();
    const event = pinning.create({ task: 1 });
    runToEnd(pinning.schedIn(event, 0));
    expect(machine.running.has(event)).toBe(false);
    runToEnd(pinning.taskWorkRun(1));
    expect(machine.running.get(event)).toBe(0);
  });

  it('queues the work once, with a reference, and undoes both when the task takes none', () => {
    const { pinning, machine, state, failing } = setUp();
    const event = pinning.create({ task: 1 });
    failing.add('queueWork');
    expect(runToEnd(pinning.schedIn(event, 0))).toBe('unqueued');
    expect([state.get(event, EventWord.queued), state.get(event, EventWord.refs)]).toEqual([0, 1]);
    expect(pinning.stats().startFailures).toBe(1);
    failing.clear();
    runToEnd(pinning.schedOut(event));
    runToEnd(pinning.schedIn(event, 0));
    runToEnd(pinning.schedIn(event, 0));
    expect(machine.works.pending(1)).toEqual([event]);
    expect([state.get(event, EventWord.queued), state.get(event, EventWord.refs)]).toEqual([1, 2]);
  });

  it('admits W events of a CPU, refuses the next one, and the one the PMU has no room for', () => {
    const { pinning, failing } = setUp();
    const [first, second] = [pinning.create({ task: 1 }), pinning.create({ task: 1 })];
    expect(runToEnd(pinning.schedIn(first, 0))).toBe('active');
    expect(runToEnd(pinning.schedIn(second, 0))).toBe('refused');
    runToEnd(pinning.schedOut(first));
    failing.add('addPmu');
    expect(runToEnd(pinning.schedIn(second, 0))).toBe('refused');
    failing.clear();
    expect(runToEnd(pinning.schedIn(second, 0))).toBe('active');
  });

  it('of an event that is ACTIVE on another CPU schedules it out there first', () => {
    const { pinning, machine, run } = setUp();
    const event = pinning.create({ task: 1 });
    run(1, event, 0);
    expect(run(1, event, 1)).toBe('active');
    expect(machine.running.get(event)).toBe(1);
    expect(runToEnd(pinning.schedIn(pinning.create({ task: 2 }), 0))).toBe('active');
  });
});

describe('task work', () => {
  it('gives up where its CPU changed after the slot list was locked, and is queued again there', () => {
    const { pinning, machine, state } = setUp();
    const event = pinning.create({ task: 1 });
    machine.task(1).cpu = 0;
    runToEnd(pinning.schedIn(event, 0));
    const rest = runPast(pinning.taskWorkRun(1), 'work.cpu');
    runToEnd(pinning.schedOut(event));
    machine.task(1).cpu = 1;
    runToEnd(pinning.schedIn(event, 1));
    rest();
    expect(state.list(0)).toEqual([]);
    expect(state.list(1)).toEqual([event]);
    expect(machine.running.get(event)).toBe(1);
  });

  it('evicts the least recent of W, after a claim moved another to the front', () => {
    const { pinning, state, run } = setUp({ slotsPerCpu: 2 });
    const [a, b, c] = [1, 2, 3].map((task) => pinning.create({ task })) as [number, number, number];
    for (const [task, event] of [
      [1, a],
      [2, b],
      [1, a],
      [3, c],
    ] as const) {
      run(task, event);
      runToEnd(pinning.schedOut(event));
    }
    expect(state.list(0)).toEqual([c, a]);
    expect(pinning.pinnedPages(b)).toBe(0);
    expect(pinning.stats()).toMatchObject({ pins: 3, unpins: 1 });
  });

  it('an event claimed on two CPUs stays pinned until the last one evicts it', () => {
    const { pinning, state, run } = setUp();
    const event = pinning.create({ task: 1 });
    for (const cpu of [0, 1]) {
      run(1, event, cpu);
      runToEnd(pinning.schedOut(event));
    }
    expect(state.get(event, EventWord.npin)).toBe(2);
    run(2, pinning.create({ task: 2 }), 0);
    expect(pinning.pinnedPages(event)).toBe(PAGES);
    run(3, pinning.create({ task: 3 }), 1);
    expect(pinning.pinnedPages(event)).toBe(0);
    expect(pinning.stats().pinnedPages.peak).toBeLessThanOrEqual(2 * PAGES);
  });

  it('does nothing for an exiting task, a dead event, an event that is OFF', () => {
    const { pinning, machine, state } = setUp({ slotsPerCpu: 4 });
    const [exiting, dead, off] = [1, 2, 3].map((task) => pinning.create({ task })) as [number, number, number];
    for (const event of [exiting, dead, off]) runToEnd(pinning.schedIn(event, 0));
    machine.task(1).exiting = true;
    runToEnd(pinning.retire(dead));
    runToEnd(pinning.schedOut(off, EventState.off));
    for (const task of [1, 2, 3]) runToEnd(pinning.taskWorkRun(task));
    expect(state.list(0)).toEqual([]);
    expect(runToEnd(pinning.schedIn(off, 0))).toBe('refused');
  });

  it('logs ITRACE_START once, into the pinned ring', () => {
    const { pinning, machine, run } = setUp();
    const event = pinning.create({ task: 1 });
    for (let i = 0; i < 3; i++) {
      run(1, event);
      runToEnd(pinning.schedOut(event));
    }
    expect(machine.logged).toEqual([event]);
    expect(pinning.stats().starts).toBe(3);
  });

  it('a queued work keeps the record of a freed event, and releases it', () => {
    const { pinning } = setUp();
    const event = pinning.create({ task: 1 });
    runToEnd(pinning.schedIn(event, 0));
    runToEnd(pinning.schedOut(event, EventState.dead));
    runToEnd(pinning.retire(event));
    pinning.free(event);
    expect(pinning.stats().events).toBe(1);
    runToEnd(pinning.taskWorkRun(1));
    expect(pinning.stats().events).toBe(0);
  });
});

describe('reconcile', () => {
  it('puts every page of a failed get, empties the slot, and is retried at the next sched-in', () => {
    const { pinning, machine, state, run, failPagesAfter } = setUp({}, 1);
    const event = pinning.create({ task: 1 });
    failPagesAfter(2);
    run(1, event);
    expect([machine.referencedPages(event), state.get(event, EventWord.nin), state.get(event, EventWord.npin)]).toEqual(
      [0, 0, 0],
    );
    expect(state.list(0)).toEqual([]);
    expect(state.get(event, EventWord.gate)).toBe(Gate.shut);
    expect(pinning.stats()).toMatchObject({ pins: 0, startFailures: 1, starts: 0 });
    failPagesAfter(Number.POSITIVE_INFINITY);
    runToEnd(pinning.schedOut(event));
    run(1, event);
    expect(machine.referencedPages(event)).toBe(PAGES);
    expect(pinning.stats()).toMatchObject({ pins: 1, startFailures: 1, starts: 1 });
  });

  it('a pin and an unpin leave no reference, the last page included', () => {
    const { pinning, machine, run } = setUp({}, 1);
    const events = [pinning.create({ task: 1 }), pinning.create({ task: 2 })] as const;
    for (let i = 0; i < 10; i++) {
      run((i % 2) + 1, events[i % 2]!);
      runToEnd(pinning.schedOut(events[i % 2]!));
      expect(events.map((event) => machine.ring(event).references[PAGES - 1])).toEqual(i % 2 === 0 ? [1, 0] : [0, 1]);
    }
  });

  it('gives up population once the slot is lost, puts what it got, and reports no error', () => {
    const { pinning, machine, state } = setUp({}, 1);
    const event = pinning.create({ task: 1 });
    runToEnd(pinning.schedIn(event, 0));
    const rest = runPast(pinning.taskWorkRun(1), 'pages.get');
    expect(machine.referencedPages(event)).toBe(1);
    state.set(event, EventWord.dead, 1);
    rest();
    expect(machine.referencedPages(event)).toBe(0);
    expect(pinning.stats()).toMatchObject({ startFailures: 0, starts: 0 });
  });

  it('rebuilds the SG table when reclaim moved a page, and only then', () => {
    const { pinning, machine, run } = setUp();
    machine.auxByDefault = true;
    const [a, b] = [pinning.create({ task: 1 }), pinning.create({ task: 2 })];
    const rebuilds = () => machine.calls.filter((call) => call === `rebuildSg ${a}`).length;
    const turn = () => {
      for (const [task, event] of [
        [1, a],
        [2, b],
      ] as const) {
        run(task, event);
        runToEnd(pinning.schedOut(event));
      }
    };
    turn();
    turn();
    expect(rebuilds()).toBe(1);
    expect(machine.reclaim(a, 2)).toBe(true);
    turn();
    expect(rebuilds()).toBe(2);
  });

  it('keeps a stale SG table stale when its rebuild fails', () => {
    const { pinning, machine, state, run, failing } = setUp();
    machine.auxByDefault = true;
    const event = pinning.create({ task: 1 });
    failing.add('rebuildSg');
    run(1, event);
    expect([machine.referencedPages(event), state.get(event, EventWord.sgOk)]).toEqual([0, 0]);
    failing.clear();
    runToEnd(pinning.schedOut(event));
    run(1, event);
    expect(machine.ring(event).sg).toEqual(machine.ring(event).frames);
  });

  it('a data-only event needs no SG table', () => {
    const { pinning, machine, run } = setUp();
    const event = pinning.create({ task: 1 });
    run(1, event);
    expect(machine.running.has(event)).toBe(true);
    expect(machine.calls).not.toContain(`rebuildSg ${event}`);
  });
});

describe('grow', () => {
  it('of a pinned ring gets the pages between; of another, the next pin does', () => {
    const { pinning, run } = setUp();
    const [pinned, other] = [pinning.create({ task: 1, pages: 1 }), pinning.create({ task: 2, pages: 1 })];
    run(1, pinned);
    expect(runToEnd(pinning.grow(pinned, 3))).toBe(0);
    expect(runToEnd(pinning.grow(other, 2))).toBe(0);
    expect([pinning.pinnedPages(pinned), pinning.pinnedPages(other)]).toEqual([3, 0]);
    runToEnd(pinning.schedOut(pinned));
    run(2, other);
    expect([pinning.pinnedPages(pinned), pinning.pinnedPages(other)]).toEqual([0, 2]);
    expect(runToEnd(pinning.grow(other, 1))).toBe(0);
    expect(pinning.extent(other)).toBe(2);
  });

  it('lasts until the next unpin: the pin after it begins small again', () => {
    const { pinning, run } = setUp({}, 1);
    const [grown, other] = [pinning.create({ task: 1, pages: 1 }), pinning.create({ task: 2, pages: 1 })];
    run(1, grown);
    expect(runToEnd(pinning.grow(grown, 3))).toBe(0);
    runToEnd(pinning.schedOut(grown));
    run(2, other);
    runToEnd(pinning.schedOut(other));
    run(1, grown);
    expect([pinning.extent(grown), pinning.pinnedPages(grown)]).toEqual([1, 1]);
  });

  it('that is refused pages leaves the ring ready with its old extent, and the next unpin puts everything', () => {
    const { pinning, machine, run, failPagesAfter } = setUp({}, 1);
    const event = pinning.create({ task: 1, pages: 1 });
    run(1, event);
    failPagesAfter(1);
    expect(runToEnd(pinning.grow(event, PAGES))).toBeLessThan(0);
    expect([pinning.extent(event), pinning.pinnedPages(event)]).toEqual([1, 2]);
    expect(pinning.beginWrite(event)).toBe(true);
    pinning.endWrite(event);
    expect(pinning.stats()).toMatchObject({ growFailures: 1, startFailures: 0 });
    runToEnd(pinning.cpuOffline(0));
    expect(machine.referencedPages(event)).toBe(0);
    expect(pinning.stats().pinnedPages.now).toBe(0);
  });
});

describe('writers', () => {
  it('the fast functions and the steps are the same protocol', () => {
    const { pinning, run, state } = setUp();
    const event = pinning.create({ task: 1 });
    const names: string[] = [];
    const operation = pinning.beginWriting(event);
    for (let next = operation.next(0); next.done !== true; ) {
      names.push(next.value.name);
      next = operation.next(next.value.perform(next.value.a, next.value.b));
    }
    expect(names).toEqual(['write.enter', 'write.gate', 'write.leave']);
    expect(pinning.beginWrite(event)).toBe(false);
    expect(state.get(event, EventWord.writers)).toBe(0);
    run(1, event);
    expect(runToEnd(pinning.beginWriting(event))).toBe(true);
    expect(pinning.beginWrite(event)).toBe(true);
    expect(state.get(event, EventWord.writers)).toBe(2);
    runToEnd(pinning.endWriting(event));
    pinning.endWrite(event);
    expect(state.get(event, EventWord.writers)).toBe(0);
    expect(pinning.stats().lost).toBe(2);
  });

  it('the user page of an unpinned ring is not updated', () => {
    const { pinning, machine, run } = setUp();
    const event = pinning.create({ task: 1 });
    const updates = () => machine.calls.filter((call) => call === `updateUserPage ${event}`).length;
    runToEnd(pinning.updateUserPage(event));
    expect(updates()).toBe(0);
    run(1, event);
    expect(updates()).toBe(1);
    runToEnd(pinning.updateUserPage(event));
    expect(updates()).toBe(2);
  });

  it('a filter restarts an event that was started, no other', () => {
    const { pinning, run } = setUp();
    const event = pinning.create({ task: 1 });
    runToEnd(pinning.schedIn(event, 0));
    runToEnd(pinning.restart(event));
    expect(pinning.stats().starts).toBe(0);
    run(1, event);
    runToEnd(pinning.restart(event));
    expect(pinning.stats().starts).toBe(2);
  });
});

describe('the gate', () => {
  /** An AUX event that has run before and is in the middle of getting its pages again, two of which reclaim moved. */
  const whilePopulating = () => {
    const { pinning, machine, state, run } = setUp({}, 1);
    machine.auxByDefault = true;
    const [event, other] = [pinning.create({ task: 1 }), pinning.create({ task: 2 })];
    for (const [task, each] of [
      [1, event],
      [2, other],
    ] as const) {
      run(task, each);
      runToEnd(pinning.schedOut(each));
    }
    machine.reclaim(event, 2);
    runToEnd(pinning.schedIn(event, 0));
    const rest = runPast(pinning.taskWorkRun(1), 'pages.get');
    return { pinning, machine, state, event, rest };
  };

  it('a restart while pages are being got finds the gate shut; were it open: I1', () => {
    const { pinning, machine, event, rest } = whilePopulating();
    runToEnd(pinning.restart(event));
    expect(machine.running.has(event)).toBe(false);
    rest();
    expect(machine.running.has(event)).toBe(true);
    const wrong = whilePopulating();
    wrong.state.set(wrong.event, EventWord.gate, Gate.open);
    expect(() => runToEnd(wrong.pinning.restart(wrong.event))).toThrow(expect.objectContaining({ invariant: 'I1' }));
  });
});

describe('injection', () => {
  it('maps the ring into the current mm, and after exec into the new one only', () => {
    const { pinning, machine, run } = setUp();
    machine.task(1).mm = 5;
    const event = pinning.create({ task: 1 });
    run(1, event);
    expect([...machine.mappings.get(event)!]).toEqual([5]);
    runToEnd(pinning.schedOut(event));
    machine.exec(1, 6);
    run(1, event);
    expect([...machine.mappings.get(event)!]).toEqual([6]);
    expect(machine.mmReferences.get(`${event}:5`)).toBe(0);
    runToEnd(pinning.retire(event));
    expect([...machine.mappings.get(event)!]).toEqual([]);
    expect(machine.mmReferences.get(`${event}:6`)).toBe(0);
  });

  it('that fails is recorded, leaves the event unpinned, and is tried again', () => {
    const { pinning, machine, state, run, failing } = setUp();
    machine.task(1).mm = 5;
    const event = pinning.create({ task: 1 });
    failing.add('mapRing');
    run(1, event);
    expect(state.get(event, EventWord.mm)).toBeLessThan(0);
    expect([pinning.pinnedPages(event), pinning.stats().startFailures]).toEqual([0, 1]);
    failing.clear();
    runToEnd(pinning.schedOut(event));
    run(1, event);
    expect(state.get(event, EventWord.mm)).toBe(5);
  });

  it('of an event that dies meanwhile is withdrawn', () => {
    const { pinning, machine } = setUp();
    machine.task(1).mm = 5;
    const event = pinning.create({ task: 1 });
    runToEnd(pinning.schedIn(event, 0));
    const rest = runPast(pinning.taskWorkRun(1), 'injection.map');
    runToEnd(pinning.retire(event));
    rest();
    expect([...machine.mappings.get(event)!]).toEqual([]);
    expect(machine.mmReferences.get(`${event}:5`)).toBe(0);
  });
});

describe('the end of an event', () => {
  it('retire unpins an event that runs, wherever it is claimed, and is idempotent', () => {
    const { pinning, machine, state, run } = setUp();
    const event = pinning.create({ task: 1 });
    run(1, event, 0);
    run(1, event, 1);
    runToEnd(pinning.retire(event));
    runToEnd(pinning.retire(event));
    expect([machine.running.has(event), machine.referencedPages(event)]).toEqual([false, 0]);
    expect([state.list(0), state.list(1), state.get(event, EventWord.npin)]).toEqual([[], [], 0]);
    runToEnd(pinning.schedOut(event));
    expect(run(1, event)).toBe('refused');
  });

  it('free only asserts: an event that was not retired is a bug', () => {
    const { pinning } = setUp();
    expect(() => pinning.free(pinning.create({ task: 1 }))).toThrow(/I8/);
  });

  it('CPU offline empties the list', () => {
    const { pinning, machine, state, run } = setUp({ slotsPerCpu: 4 });
    const events = [1, 2, 3].map((task) => pinning.create({ task }));
    for (const [i, event] of events.entries()) {
      run(i + 1, event, 1);
      runToEnd(pinning.schedOut(event));
    }
    runToEnd(pinning.cpuOffline(1));
    expect(state.list(1)).toEqual([]);
    expect(events.map((event) => machine.referencedPages(event))).toEqual([0, 0, 0]);
    expect(pinning.stats()).toMatchObject({ pins: 3, unpins: 3 });
  });

  it('a core dump stops events and keeps their gates shut, also through a later pin', () => {
    const { pinning, machine, run } = setUp();
    const [event, other] = [pinning.create({ task: 1 }), pinning.create({ task: 2 })];
    run(1, event);
    runToEnd(pinning.stopAll([event]));
    expect(machine.running.has(event)).toBe(false);
    expect(pinning.beginWrite(event)).toBe(false);
    runToEnd(pinning.schedOut(event));
    run(2, other);
    runToEnd(pinning.schedOut(other));
    run(1, event);
    expect([pinning.beginWrite(event), machine.running.has(event)]).toEqual([false, false]);
  });
});

describe('inherit and account', () => {
  it('a child has an event and a ring of its own, and outlives its parent', () => {
    const { pinning, run, machine } = setUp();
    const parent = pinning.create({ task: 1 });
    const child = pinning.inherit(parent, { task: 2 });
    expect(child).not.toBe('unrecorded');
    runToEnd(pinning.retire(parent));
    pinning.free(parent);
    run(2, child as number);
    expect(machine.referencedPages(child as number)).toBe(PAGES);
  });

  it('without room a child goes unrecorded and is counted; create throws pin-refused', () => {
    const { pinning } = setUp({ maxEvents: 1 });
    const parent = pinning.create({ task: 1 });
    expect(pinning.inherit(parent, { task: 2 })).toBe('unrecorded');
    expect(pinning.stats()).toMatchObject({ unrecorded: 1, events: 1 });
    expect(() => pinning.create({ task: 3 })).toThrow(expect.objectContaining({ code: 'pin-refused' }));
  });

  it('a child of a retired parent goes unrecorded', () => {
    const { pinning } = setUp();
    const parent = pinning.create({ task: 1 });
    runToEnd(pinning.retire(parent));
    expect(pinning.inherit(parent, { task: 2 })).toBe('unrecorded');
  });

  it('the first event charges NR_CPUS x W x pages, further ones nothing, the last one gives that back', () => {
    const bound = 2 * 1 * PAGES;
    const account = new Account(bound + 1);
    const { pinning } = setUp({ account });
    const events = [pinning.create({ task: 1 }), pinning.create({ task: 2 })];
    expect(account.chargedPages).toBe(bound);
    const rival = setUp({ account });
    expect(() => rival.pinning.create({ task: 3 })).toThrow(expect.objectContaining({ code: 'pin-refused' }));
    for (const event of events) {
      expect(account.chargedPages).toBe(bound);
      runToEnd(pinning.retire(event));
      pinning.free(event);
    }
    expect(account.chargedPages).toBe(0);
    expect(rival.pinning.create({ task: 3 })).toBeGreaterThanOrEqual(0);
  });

  it('pinned pages never pass the bound, which a machine or a bug would have to break an assertion for', () => {
    const { pinning, state, run } = setUp();
    const event = pinning.create({ task: 1 });
    state.recorderAdd(5, 2 * PAGES);
    expect(() => run(1, event)).toThrow(/I4/);
  });
});

describe('steps', () => {
  it('resolve to the instances they touch', () => {
    const { pinning } = setUp();
    const { steps } = pinning.protocol;
    const taskOf = () => 9;
    expect(locate(steps.raise.reads, 3, -1, taskOf)).toEqual(['event.npin[3]']);
    expect(locate(steps.insert.writes, 3, 1, taskOf)).toEqual(['cpu.list[1]']);
    expect(locate(steps.push.writes, 3, -1, taskOf)).toEqual(['machine.works[9]']);
    expect(locate(steps.pop.writes, -1, 9, taskOf)).toEqual(['machine.works[9]']);
    expect(locate(steps.charge.writes, -1, -1, taskOf)).toEqual(['recorder.account']);
  });

  it('a slot list of 512 behaves as one of 2', () => {
    const { pinning, state, run } = setUp({ slotsPerCpu: 512, maxEvents: 600 });
    const events = Array.from({ length: 520 }, (_, i) => pinning.create({ task: i + 1, pages: 1 }));
    for (const [i, event] of events.entries()) {
      run(i + 1, event);
      runToEnd(pinning.schedOut(event));
    }
    expect(state.list(0)).toEqual(events.slice(8).reverse());
    expect(pinning.stats()).toMatchObject({ pins: 520, unpins: 8 });
  });
});
