import { describe, expect, it } from 'vitest';
import { RingkeepError } from '../../base/error.ts';
import { EventWord } from '../../protocol/corrected/state.ts';
import { EventState } from '../../protocol/event-state.ts';
import { Pinning } from '../../protocol/pinning.ts';
import { locate, runToEnd } from '../../protocol/step.ts';
import { AUX_RING, PAGES, PinningBench } from './testing/pinning-bench.ts';

describe('live use', () => {
  it('is create, sched-in, task work, write, sched-out, retire, free', () => {
    const bench = new PinningBench({ slotsPerCpu: 4 });
    const { pinning, kernel } = bench;
    const { account } = pinning.protocol;
    kernel.addTask(7, 'A', 1, null);
    const event = pinning.create({ task: 7, pages: 2 });
    expect(pinning.isFront(event, 1)).toBe(false);
    expect(pinning.beginWrite(event)).toBe(false);
    expect(runToEnd(pinning.schedIn(event, 1))).toBe('active');
    runToEnd(pinning.taskWorkRun(7));
    expect(pinning.isFront(event, 1)).toBe(true);
    expect(pinning.beginWrite(event)).toBe(true);
    pinning.endWrite(event);
    runToEnd(pinning.schedOut(event));
    expect(pinning.isFront(event, 1)).toBe(true);
    const before = { pins: 1, unpins: 0, starts: 1, lost: 1, events: 1, chargedPages: 2 * 4 * PAGES };
    expect(pinning.stats()).toMatchObject(before);
    expect(pinning.stats().pinnedPages).toEqual({ now: 2, peak: 2, bound: 2 * 4 * PAGES });
    runToEnd(pinning.retire(event));
    expect(pinning.touch(event, 1)).toBe(false);
    pinning.free(event);
    expect(pinning.stats()).toMatchObject({ pins: 1, unpins: 1, events: 0, chargedPages: 0 });
    expect(account.chargedPages).toBe(0);
    expect(kernel.broken).toEqual([]);
  });

  it('gives a freed record to the next event, clean', () => {
    const bench = new PinningBench();
    const first = bench.create(1);
    bench.turn(1, first);
    bench.end(first);
    const second = bench.create(2, 3);
    expect(second).toBe(first);
    expect(bench.pinning.extent(second)).toBe(3);
    expect(bench.run(2, second)).toBe('active');
    expect(bench.pinning.pinnedPages(second)).toBe(3);
  });

  it('refuses impossible sizes with bad-argument', () => {
    const { kernel, pinning } = new PinningBench();
    expect(() => new Pinning(kernel, { cpus: 0, slotsPerCpu: 1, pagesPerRing: 1 })).toThrow(RingkeepError);
    expect(() => pinning.create({ task: 1, pages: PAGES + 1 })).toThrow(/extent/);
  });

  it('asserts, rather than waits, on a step that would block', () => {
    const bench = new PinningBench();
    const event = bench.create(1);
    bench.run(1, event);
    expect(bench.pinning.beginWrite(event)).toBe(true);
    expect(() => runToEnd(bench.pinning.retire(event))).toThrow(/a writer is at work/);
  });
});

describe('sched-in', () => {
  it('adds without START: only the task work starts the event', () => {
    const bench = new PinningBench();
    const event = bench.create(1);
    bench.perform(bench.pinning.schedIn(event, 0));
    expect(bench.isOn(event)).toBe(false);
    bench.perform(bench.pinning.taskWorkRun(1));
    expect(bench.kernel.pmuCpu(event)).toBe(0);
  });

  it('queues the work once, with a reference, and undoes both when the task takes none', () => {
    const bench = new PinningBench();
    const { pinning, kernel, state } = bench;
    const event = bench.create(1);
    kernel.fail({ call: 'queueWork', event, nth: 1 });
    expect(bench.perform(pinning.schedIn(event, 0))).toBe('unqueued');
    expect([state.get(event, EventWord.queued), state.get(event, EventWord.refs)]).toEqual([0, 1]);
    expect(pinning.stats().startFailures).toBe(1);
    bench.perform(pinning.schedOut(event));
    bench.perform(pinning.schedIn(event, 0));
    bench.perform(pinning.schedIn(event, 0));
    expect(bench.task(1).works).toEqual([event]);
    expect([state.get(event, EventWord.queued), state.get(event, EventWord.refs)]).toEqual([1, 2]);
  });

  it('admits W events of a CPU, refuses the next one, and the one the PMU has no room for', () => {
    const bench = new PinningBench();
    const [first, second] = [bench.create(1), bench.create(1)];
    const schedIn = (event: number) => bench.perform(bench.pinning.schedIn(event, 0));
    expect(schedIn(first)).toBe('active');
    expect(schedIn(second)).toBe('refused');
    bench.perform(bench.pinning.schedOut(first));
    bench.kernel.fail({ call: 'addPmu', event: second, nth: 1 });
    expect(schedIn(second)).toBe('refused');
    expect(schedIn(second)).toBe('active');
  });

  it('of an event that is ACTIVE on another CPU schedules it out there first', () => {
    const bench = new PinningBench();
    const event = bench.create(1);
    bench.run(1, event, 0);
    expect(bench.run(1, event, 1)).toBe('active');
    expect(bench.kernel.pmuCpu(event)).toBe(1);
    expect(bench.perform(bench.pinning.schedIn(bench.create(2), 0))).toBe('active');
  });
});

describe('task work', () => {
  it('gives up where its CPU changed after the slot list was locked, and is queued again there', () => {
    const bench = new PinningBench();
    const { pinning, state } = bench;
    const event = bench.create(1);
    bench.perform(pinning.schedIn(event, 0));
    const rest = bench.performPast(pinning.taskWorkRun(1), 'work.cpu');
    bench.perform(pinning.schedOut(event));
    bench.task(1).cpu = 1;
    bench.perform(pinning.schedIn(event, 1));
    rest();
    expect(state.list(0)).toEqual([]);
    expect(state.list(1)).toEqual([event]);
    expect(bench.kernel.pmuCpu(event)).toBe(1);
  });

  it('evicts the least recent of W, after a claim moved another to the front', () => {
    const bench = new PinningBench({ slotsPerCpu: 2 });
    const [a, b, c] = [1, 2, 3].map((task) => bench.create(task)) as [number, number, number];
    for (const [task, event] of [
      [1, a],
      [2, b],
      [1, a],
      [3, c],
    ] as const)
      bench.turn(task, event);
    expect(bench.state.list(0)).toEqual([c, a]);
    expect(bench.pinning.pinnedPages(b)).toBe(0);
    expect(bench.pinning.stats()).toMatchObject({ pins: 3, unpins: 1 });
  });

  it('an event claimed on two CPUs stays pinned until the last one evicts it', () => {
    const bench = new PinningBench();
    const { pinning, state } = bench;
    const event = bench.create(1);
    for (const cpu of [0, 1]) bench.turn(1, event, cpu);
    expect(state.get(event, EventWord.npin)).toBe(2);
    bench.run(2, bench.create(2), 0);
    expect(pinning.pinnedPages(event)).toBe(PAGES);
    bench.run(3, bench.create(3), 1);
    expect(pinning.pinnedPages(event)).toBe(0);
    expect(pinning.stats().pinnedPages.peak).toBeLessThanOrEqual(2 * PAGES);
  });

  it('does nothing for an exiting task, a dead event, an event that is OFF', () => {
    const bench = new PinningBench({ slotsPerCpu: 4 });
    const { pinning, state } = bench;
    const [exiting, dead, off] = [1, 2, 3].map((task) => bench.create(task)) as [number, number, number];
    for (const event of [exiting, dead, off]) bench.perform(pinning.schedIn(event, 0));
    bench.task(1).exiting = true;
    bench.perform(pinning.retire(dead));
    bench.perform(pinning.schedOut(off, EventState.off));
    for (const task of [1, 2, 3]) bench.perform(pinning.taskWorkRun(task));
    expect(state.list(0)).toEqual([]);
    expect(bench.perform(pinning.schedIn(off, 0))).toBe('refused');
  });

  it('logs ITRACE_START once, into the pinned ring', () => {
    const bench = new PinningBench({ ring: AUX_RING });
    const event = bench.create(1);
    for (let i = 0; i < 3; i++) bench.turn(1, event);
    expect(bench.performed.filter((name) => name === 'log.start')).toEqual(['log.start']);
    expect(bench.kernel.ring(event).stores(1)).toBe(1);
    expect(bench.pinning.stats().starts).toBe(3);
  });

  it('a queued work keeps the record of a freed event, and releases it', () => {
    const bench = new PinningBench();
    const { pinning } = bench;
    const event = bench.create(1);
    bench.perform(pinning.schedIn(event, 0));
    bench.perform(pinning.schedOut(event, EventState.dead));
    bench.end(event);
    expect(pinning.stats().events).toBe(1);
    bench.perform(pinning.taskWorkRun(1));
    expect(pinning.stats().events).toBe(0);
  });
});

describe('steps', () => {
  it('resolve to the instances they touch', () => {
    const { steps } = new PinningBench().pinning.protocol;
    const taskOf = () => 9;
    expect(locate(steps.raise.reads, 3, -1, taskOf)).toEqual(['event.npin[3]']);
    expect(locate(steps.insert.writes, 3, 1, taskOf)).toEqual(['cpu.list[1]']);
    expect(locate(steps.push.writes, 3, -1, taskOf)).toEqual(['machine.works[9]']);
    expect(locate(steps.pop.writes, -1, 9, taskOf)).toEqual(['machine.works[9]']);
    expect(locate(steps.charge.writes, -1, -1, taskOf)).toEqual(['recorder.account']);
  });

  it('a slot list of 512 behaves as one of 2', () => {
    const { kernel, pinning, state } = new PinningBench({ slotsPerCpu: 512, maxEvents: 600 });
    const events = Array.from({ length: 520 }, (_, i) => {
      kernel.addTask(i + 1, `task ${i + 1}`, 0, null);
      return pinning.create({ task: i + 1, pages: 1 });
    });
    for (const [i, event] of events.entries()) {
      runToEnd(pinning.schedIn(event, 0));
      runToEnd(pinning.taskWorkRun(i + 1));
      runToEnd(pinning.schedOut(event));
    }
    expect(state.list(0)).toEqual(events.slice(8).reverse());
    expect(pinning.stats()).toMatchObject({ pins: 520, unpins: 8 });
    expect(kernel.broken).toEqual([]);
  });
});
