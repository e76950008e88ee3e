import { describe, expect, it } from 'vitest';
import { EventWord, Gate } from '../../protocol/corrected/state.ts';
import { AUX_RING, PAGES, PinningBench } from './testing/pinning-bench.ts';

const violation = (invariant: string) => expect.objectContaining({ name: 'Violation', invariant });

describe('reconcile', () => {
  it('puts every page of a failed get, empties the slot, and is retried at the next sched-in', () => {
    const bench = new PinningBench({ pagesPerCall: 1 });
    const { pinning, state, kernel } = bench;
    const event = bench.create(1);
    kernel.fail({ call: 'getPage', event, nth: 3 });
    bench.run(1, event);
    const counts = [state.get(event, EventWord.nin), state.get(event, EventWord.npin)];
    expect([bench.references(event), ...counts]).toEqual([0, 0, 0]);
    expect(state.list(0)).toEqual([]);
    expect(state.get(event, EventWord.gate)).toBe(Gate.shut);
    expect(pinning.stats()).toMatchObject({ pins: 0, startFailures: 1, starts: 0 });
    bench.perform(pinning.schedOut(event));
    bench.run(1, event);
    expect(bench.references(event)).toBe(PAGES);
    expect(pinning.stats()).toMatchObject({ pins: 1, startFailures: 1, starts: 1 });
  });

  it('a pin and an unpin leave no reference, the last page included', () => {
    const bench = new PinningBench({ pagesPerCall: 1 });
    const events = [bench.create(1), bench.create(2)] as const;
    for (let i = 0; i < 10; i++) {
      bench.turn((i % 2) + 1, events[i % 2]!);
      const ofLastPage = events.map((event) => bench.kernel.ring(event).references(PAGES - 1));
      expect(ofLastPage).toEqual(i % 2 === 0 ? [1, 0] : [0, 1]);
      expect(events.map((event) => bench.references(event))).toEqual(i % 2 === 0 ? [PAGES, 0] : [0, PAGES]);
    }
  });

  it('gives up population once the slot is lost, puts what it got, and reports no error', () => {
    const bench = new PinningBench({ pagesPerCall: 1 });
    const { pinning, state } = bench;
    const event = bench.create(1);
    bench.perform(pinning.schedIn(event, 0));
    const rest = bench.performPast(pinning.taskWorkRun(1), 'pages.get');
    expect(bench.references(event)).toBe(1);
    state.set(event, EventWord.dead, 1);
    rest();
    expect(bench.references(event)).toBe(0);
    expect(pinning.stats()).toMatchObject({ startFailures: 0, starts: 0 });
  });

  it('rebuilds the SG table when reclaim moved a page, and only then', () => {
    const bench = new PinningBench({ ring: AUX_RING });
    const [a, b] = [bench.create(1), bench.create(2)];
    const turns = () => {
      bench.turn(1, a);
      bench.turn(2, b);
    };
    turns();
    turns();
    expect(bench.kernel.callsOf('setupSg', a)).toBe(1);
    expect(bench.kernel.ring(a).reclaim(2)).toBe(true);
    turns();
    expect(bench.kernel.callsOf('setupSg', a)).toBe(2);
  });

  it('keeps a stale SG table stale when its rebuild fails', () => {
    const bench = new PinningBench({ ring: AUX_RING });
    const event = bench.create(1);
    bench.kernel.fail({ call: 'setupSg', event, nth: 1 });
    bench.run(1, event);
    expect([bench.references(event), bench.state.get(event, EventWord.sgOk)]).toEqual([0, 0]);
    bench.perform(bench.pinning.schedOut(event));
    bench.run(1, event);
    expect(bench.isOn(event)).toBe(true);
    expect(bench.kernel.ring(event).staleSg).toBeUndefined();
  });

  it('a data-only event needs no SG table', () => {
    const bench = new PinningBench();
    const event = bench.create(1);
    bench.run(1, event);
    expect(bench.isOn(event)).toBe(true);
    expect(bench.kernel.callsOf('setupSg', event)).toBe(0);
  });
});

describe('grow', () => {
  it('of a pinned ring gets the pages between; of another, the next pin does', () => {
    const bench = new PinningBench();
    const { pinning } = bench;
    const [pinned, other] = [bench.create(1, 1), bench.create(2, 1)];
    const pages = () => [pinning.pinnedPages(pinned), pinning.pinnedPages(other)];
    bench.run(1, pinned);
    expect(bench.perform(pinning.grow(pinned, 3))).toBe(0);
    expect(bench.perform(pinning.grow(other, 2))).toBe(0);
    expect(pages()).toEqual([3, 0]);
    bench.perform(pinning.schedOut(pinned));
    bench.run(2, other);
    expect(pages()).toEqual([0, 2]);
    expect(bench.perform(pinning.grow(other, 1))).toBe(0);
    expect(pinning.extent(other)).toBe(2);
  });

  it('lasts until the next unpin: the pin after it begins small again', () => {
    const bench = new PinningBench({ pagesPerCall: 1 });
    const { pinning } = bench;
    const [grown, other] = [bench.create(1, 1), bench.create(2, 1)];
    bench.run(1, grown);
    expect(bench.perform(pinning.grow(grown, 3))).toBe(0);
    bench.perform(pinning.schedOut(grown));
    bench.turn(2, other);
    bench.run(1, grown);
    expect([pinning.extent(grown), pinning.pinnedPages(grown)]).toEqual([1, 1]);
  });

  it('that is refused pages leaves the ring ready with its old extent, and the next unpin puts everything', () => {
    const bench = new PinningBench({ pagesPerCall: 1 });
    const { pinning } = bench;
    const event = bench.create(1, 1);
    bench.run(1, event);
    bench.kernel.fail({ call: 'getPage', event, nth: 3 });
    expect(bench.perform(pinning.grow(event, PAGES))).toBeLessThan(0);
    expect([pinning.extent(event), pinning.pinnedPages(event)]).toEqual([1, 2]);
    expect(pinning.beginWrite(event)).toBe(true);
    pinning.endWrite(event);
    expect(pinning.stats()).toMatchObject({ growFailures: 1, startFailures: 0 });
    bench.perform(pinning.cpuOffline(0));
    expect(bench.references(event)).toBe(0);
    expect(pinning.stats().pinnedPages.now).toBe(0);
  });
});

describe('writers', () => {
  it('the fast functions and the steps are the same protocol', () => {
    const bench = new PinningBench();
    const { pinning, state } = bench;
    const event = bench.create(1);
    bench.performed.length = 0;
    expect(bench.perform(pinning.beginWriting(event))).toBe(false);
    expect(bench.performed).toEqual(['write.enter', 'write.gate', 'write.leave']);
    expect(pinning.beginWrite(event)).toBe(false);
    expect(state.get(event, EventWord.writers)).toBe(0);
    bench.run(1, event);
    expect(bench.perform(pinning.beginWriting(event))).toBe(true);
    expect(pinning.beginWrite(event)).toBe(true);
    expect(state.get(event, EventWord.writers)).toBe(2);
    bench.perform(pinning.endWriting(event));
    pinning.endWrite(event);
    expect(state.get(event, EventWord.writers)).toBe(0);
    expect(pinning.stats().lost).toBe(2);
  });

  it('the user page of an unpinned ring is not updated', () => {
    const bench = new PinningBench();
    const event = bench.create(1);
    const updates = () => bench.kernel.ring(event).stores(0);
    bench.perform(bench.pinning.updateUserPage(event));
    expect(updates()).toBe(0);
    bench.run(1, event);
    expect(updates()).toBe(1);
    bench.perform(bench.pinning.updateUserPage(event));
    expect(updates()).toBe(2);
  });

  it('a filter restarts an event that was started, no other', () => {
    const bench = new PinningBench();
    const { pinning } = bench;
    const event = bench.create(1);
    bench.perform(pinning.schedIn(event, 0));
    bench.perform(pinning.restart(event));
    expect(pinning.stats().starts).toBe(0);
    bench.run(1, event);
    bench.perform(pinning.restart(event));
    expect(pinning.stats().starts).toBe(2);
  });
});

describe('the gate', () => {
  /** An AUX event that has run before and is in the middle of getting its pages again, one of which reclaim moved. */
  const whilePopulating = () => {
    const bench = new PinningBench({ ring: AUX_RING, pagesPerCall: 1 });
    const [event, other] = [bench.create(1), bench.create(2)];
    bench.turn(1, event);
    bench.turn(2, other);
    bench.kernel.ring(event).reclaim(2);
    bench.perform(bench.pinning.schedIn(event, 0));
    const rest = bench.performPast(bench.pinning.taskWorkRun(1), 'pages.get');
    return { bench, event, rest };
  };

  it('a restart while pages are being got finds the gate shut; were it open: I1, I2', () => {
    const { bench, event, rest } = whilePopulating();
    bench.perform(bench.pinning.restart(event));
    expect(bench.isOn(event)).toBe(false);
    rest();
    expect(bench.isOn(event)).toBe(true);

    const wrong = whilePopulating();
    wrong.bench.state.set(wrong.event, EventWord.gate, Gate.open);
    expect(() => wrong.bench.perform(wrong.bench.pinning.restart(wrong.event))).toThrow(violation('I2'));
    const { kernel, pinning } = wrong.bench;
    kernel.broken.length = 0;
    pinning.protocol.steps.start.perform(wrong.event, 0);
    kernel.runHardware(wrong.event);
    expect(new Set(kernel.broken.map(({ invariant }) => invariant))).toEqual(new Set(['I1', 'I6']));
  });
});
