import { describe, expect, it } from 'vitest';
import { Account } from '../../protocol/account.ts';
import { EventWord, RecorderWord } from '../../protocol/corrected/state.ts';
import { runToEnd } from '../../protocol/step.ts';
import { DATA_RING, PAGES, PinningBench } from './testing/pinning-bench.ts';

const INJECTED_RING = { ...DATA_RING, injected: true };
const violation = (invariant: string) => expect.objectContaining({ name: 'Violation', invariant });

describe('injection', () => {
  it('maps the ring into the current mm, and after exec into the new one only', () => {
    const bench = new PinningBench({ ring: INJECTED_RING });
    const event = bench.create(1);
    const first = bench.task(1).mm!.id;
    bench.turn(1, event);
    expect(bench.mappings(event)).toEqual({ mapped: [first], held: [first] });
    bench.kernel.exec(1);
    const second = bench.task(1).mm!.id;
    bench.run(1, event);
    expect(second).not.toBe(first);
    expect(bench.mappings(event)).toEqual({ mapped: [second], held: [second] });
    bench.perform(bench.pinning.retire(event));
    expect(bench.mappings(event)).toEqual({ mapped: [], held: [] });
  });

  it('that fails is recorded, leaves the event unpinned, and is tried again', () => {
    const bench = new PinningBench({ ring: INJECTED_RING });
    const { pinning, state } = bench;
    const event = bench.create(1);
    bench.kernel.fail({ call: 'mapRing', event, nth: 1 });
    bench.run(1, event);
    expect(state.get(event, EventWord.mm)).toBeLessThan(0);
    expect([pinning.pinnedPages(event), pinning.stats().startFailures]).toEqual([0, 1]);
    bench.perform(pinning.schedOut(event));
    bench.run(1, event);
    expect(state.get(event, EventWord.mm)).toBe(bench.task(1).mm!.id);
  });

  it('of an event that dies meanwhile is withdrawn', () => {
    const bench = new PinningBench({ ring: INJECTED_RING });
    const event = bench.create(1);
    bench.perform(bench.pinning.schedIn(event, 0));
    const rest = bench.performPast(bench.pinning.taskWorkRun(1), 'injection.map');
    bench.perform(bench.pinning.retire(event));
    rest();
    expect(bench.mappings(event)).toEqual({ mapped: [], held: [] });
  });
});

describe('the end of an event', () => {
  it('retire unpins an event that runs, wherever it is claimed, and is idempotent', () => {
    const bench = new PinningBench();
    const { pinning, state } = bench;
    const event = bench.create(1);
    bench.run(1, event, 0);
    bench.run(1, event, 1);
    bench.perform(pinning.retire(event));
    bench.perform(pinning.retire(event));
    expect([bench.isOn(event), bench.references(event)]).toEqual([false, 0]);
    expect([state.list(0), state.list(1), state.get(event, EventWord.npin)]).toEqual([[], [], 0]);
    bench.perform(pinning.schedOut(event));
    expect(bench.run(1, event)).toBe('refused');
  });

  it('free only asserts: an event that was not retired is a bug', () => {
    const bench = new PinningBench();
    const event = bench.create(1);
    expect(() => bench.free(event)).toThrow(violation('I8'));
  });

  it('CPU offline empties the list', () => {
    const bench = new PinningBench({ slotsPerCpu: 4 });
    const events = [1, 2, 3].map((task) => bench.create(task));
    for (const [i, event] of events.entries()) bench.turn(i + 1, event, 1);
    bench.perform(bench.pinning.cpuOffline(1));
    expect(bench.state.list(1)).toEqual([]);
    expect(events.map((event) => bench.references(event))).toEqual([0, 0, 0]);
    expect(bench.pinning.stats()).toMatchObject({ pins: 3, unpins: 3 });
  });

  it('a core dump stops events and keeps their gates shut, also through a later pin', () => {
    const bench = new PinningBench();
    const { pinning } = bench;
    const [event, other] = [bench.create(1), bench.create(2)];
    bench.run(1, event);
    bench.perform(pinning.stopAll([event]));
    expect(bench.isOn(event)).toBe(false);
    expect(pinning.beginWrite(event)).toBe(false);
    bench.perform(pinning.schedOut(event));
    bench.turn(2, other);
    bench.run(1, event);
    expect([pinning.beginWrite(event), bench.isOn(event)]).toEqual([false, false]);
  });
});

describe('inherit and account', () => {
  it('a child has an event and a ring of its own, and outlives its parent', () => {
    const bench = new PinningBench();
    const parent = bench.create(1);
    bench.task(2);
    const child = bench.perform(bench.pinning.inheriting(parent, { task: 2 }));
    expect(child).not.toBe('unrecorded');
    bench.end(parent);
    bench.run(2, child as number);
    expect(bench.references(child as number)).toBe(PAGES);
  });

  it('without room a child goes unrecorded and is counted; create throws pin-refused', () => {
    const { pinning } = new PinningBench({ maxEvents: 1 });
    const parent = pinning.create({ task: 1 });
    expect(pinning.inherit(parent, { task: 2 })).toBe('unrecorded');
    expect(pinning.stats()).toMatchObject({ unrecorded: 1, events: 1 });
    expect(() => pinning.create({ task: 3 })).toThrow(expect.objectContaining({ code: 'pin-refused' }));
  });

  it('a child of a retired parent goes unrecorded', () => {
    const bench = new PinningBench();
    const parent = bench.create(1);
    bench.perform(bench.pinning.retire(parent));
    expect(bench.pinning.inherit(parent, { task: 2 })).toBe('unrecorded');
  });

  it('the first event charges NR_CPUS x W x pages, further ones nothing, the last one gives that back', () => {
    const bound = 2 * 1 * PAGES;
    const account = new Account(bound + 1);
    const bench = new PinningBench({ account });
    const events = [bench.create(1), bench.create(2)];
    expect(account.chargedPages).toBe(bound);
    const rival = new PinningBench({ account }).pinning;
    expect(() => rival.create({ task: 3 })).toThrow(expect.objectContaining({ code: 'pin-refused' }));
    for (const event of events) {
      expect(account.chargedPages).toBe(bound);
      bench.end(event);
    }
    expect(account.chargedPages).toBe(0);
    expect(rival.create({ task: 3 })).toBeGreaterThanOrEqual(0);
  });

  it('pinned pages never exceed the bound: a machine or a bug that would is a violation of I4', () => {
    const bench = new PinningBench();
    const event = bench.create(1);
    bench.state.recorderAdd(RecorderWord.pinned, 2 * PAGES);
    runToEnd(bench.pinning.schedIn(event, 0));
    expect(() => runToEnd(bench.pinning.taskWorkRun(1))).toThrow(violation('I4'));
  });
});
