import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type OffCpu, type Stall, StallWatch, type StallWatchOptions } from './stall-watch.ts';

const MS = 1_000_000;
const ANY = { thresholdNs: 10, isPreemptedOnly: false, isBlockedOnly: false };

function off(tid: number, sinceNs: number, isPreempted = false): OffCpu {
  return { pid: 1, tid, comm: 't', sinceNs, isPreempted };
}

/** One thing that happens, so much later than the one before. */
interface Happening {
  readonly afterNs: number;
  readonly what: 'out' | 'in' | 'overdue' | 'forget' | 'lost';
  readonly tid: number;
  readonly isPreempted: boolean;
  readonly state: string;
}

const happening: fc.Arbitrary<Happening> = fc.record({
  afterNs: fc.nat(12),
  what: fc.oneof(
    { weight: 10, arbitrary: fc.constantFrom('out' as const, 'in' as const) },
    { weight: 4, arbitrary: fc.constant('overdue' as const) },
    { weight: 1, arbitrary: fc.constantFrom('forget' as const, 'lost' as const) },
  ),
  tid: fc.integer({ min: 1, max: 5 }),
  isPreempted: fc.boolean(),
  state: fc.constantFrom('S', 'D', 'R', 'T', 'Z'),
});

/** The same by looking at every thread every time. */
class NaiveWatch {
  readonly #options: StallWatchOptions;
  #off: OffCpu[] = [];
  #lossNs = -1;
  constructor(options: StallWatchOptions) {
    this.#options = options;
  }
  switchedOut(thread: OffCpu): void {
    this.forget(thread.tid);
    if (thread.isPreempted || !this.#options.isPreemptedOnly) this.#off.push(thread);
  }
  switchedIn(tid: number, timeNs: number): Stall | undefined {
    const thread = this.#off.find((candidate) => candidate.tid === tid);
    this.forget(tid);
    if (!thread || (this.#options.isBlockedOnly && !thread.isPreempted)) return undefined;
    if (timeNs - thread.sinceNs <= this.#options.thresholdNs || thread.sinceNs <= this.#lossNs) return undefined;
    return { ...thread, untilNs: timeNs, isOver: true };
  }
  forget(tid: number): void {
    this.#off = this.#off.filter((thread) => thread.tid !== tid);
  }
  switchesLost(timeNs: number): void {
    this.#lossNs = timeNs;
  }
  get nextNs(): number {
    return Math.min(...this.#off.map(({ sinceNs }) => sinceNs + this.#options.thresholdNs + 1));
  }
  overdue(nowNs: number, stateOf: (tid: number) => string): Stall[] {
    const late = this.#off.filter(({ sinceNs }) => nowNs - sinceNs > this.#options.thresholdNs);
    this.#off = this.#off.filter((thread) => !late.includes(thread));
    return late
      .filter(({ tid, sinceNs, isPreempted }) => {
        const state = stateOf(tid);
        if (state === 'Z') return false;
        if (this.#options.isBlockedOnly && !isPreempted) return state === 'D';
        return !(state === 'R' && sinceNs <= this.#lossNs);
      })
      .map((thread) => ({ ...thread, untilNs: nowNs, isOver: false }));
  }
}

describe('a watch for stalls', () => {
  it('finds the same stalls as checking every thread at every step', () => {
    const options = fc.record({
      thresholdNs: fc.integer({ min: 1, max: 40 }),
      isPreemptedOnly: fc.boolean(),
      isBlockedOnly: fc.boolean(),
    });
    fc.assert(
      fc.property(options, fc.array(happening, { maxLength: 200 }), (given, happenings) => {
        const [watch, naive] = [new StallWatch(given), new NaiveWatch(given)];
        // The order of simultaneous switches is not defined: the clock advances with each.
        let nowNs = 0;
        for (const { afterNs, what, tid, isPreempted, state } of happenings) {
          nowNs += afterNs + 1;
          const stateOf = (id: number) => (id === tid ? state : 'S');
          if (what === 'out') for (const each of [watch, naive]) each.switchedOut(off(tid, nowNs, isPreempted));
          if (what === 'forget') for (const each of [watch, naive]) each.forget(tid);
          if (what === 'lost') for (const each of [watch, naive]) each.switchesLost(nowNs);
          if (what === 'in') expect(watch.switchedIn(tid, nowNs)).toEqual(naive.switchedIn(tid, nowNs));
          if (what === 'overdue') {
            expect(watch.overdue(nowNs, (_pid, id) => stateOf(id))).toEqual(naive.overdue(nowNs, stateOf));
            expect(watch.nextNs).toBeGreaterThan(nowNs);
          }
          expect(watch.nextNs).toBe(naive.nextNs);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('reports a thread that is never switched in once, while it is off the CPU', () => {
    const watch = new StallWatch(ANY);
    watch.switchedOut(off(1, 100));
    expect(watch.nextNs).toBe(111);
    expect(watch.overdue(110, () => 'S')).toEqual([]);
    expect(watch.overdue(111, () => 'S')).toEqual([{ ...off(1, 100), untilNs: 111, isOver: false }]);
    expect(watch.overdue(1e9, () => 'S')).toEqual([]);
    expect(watch.switchedIn(1, 2e9)).toBeUndefined();
  });

  it('uses switches read late from another CPU by their times', () => {
    const watch = new StallWatch(ANY);
    // Back on the CPU before word came that it had left: it is not off the CPU.
    expect(watch.switchedIn(1, 105)).toBeUndefined();
    watch.switchedOut(off(1, 100));
    expect(watch.nextNs).toBe(Number.POSITIVE_INFINITY);
    // Gone again already: that is what counts.
    watch.switchedIn(1, 120);
    watch.switchedOut(off(1, 130));
    watch.switchedOut(off(1, 110));
    expect(watch.nextNs).toBe(141);
    watch.forget(1);
    // Off later than another one of which word came later.
    watch.switchedOut(off(2, 300));
    watch.switchedOut(off(3, 200));
    watch.switchedOut(off(4, 250));
    expect(watch.overdue(1000, () => 'S').map(({ tid }) => tid)).toEqual([3, 4, 2]);
  });

  it('reports a thread without a switch-out if its state shows it off the CPU, not if it may be on it', () => {
    const watch = new StallWatch(ANY);
    for (const tid of [1, 2, 3, 4]) watch.assumeOut(off(tid, 100));
    expect(watch.switchedIn(3, 105)).toBeUndefined();
    // What was seen counts, older than the look or not, and is not overruled by another look.
    watch.switchedOut(off(4, 98, true));
    watch.assumeOut(off(4, 105));
    const states = ['', 'S', 'R', 'S', 'R'];
    expect(watch.overdue(112, (_, tid) => states[tid])).toEqual([
      { ...off(4, 98, true), untilNs: 112, isOver: false },
      { ...off(1, 100), untilNs: 112, isOver: false },
    ]);
    // It was on the CPU; when it goes that is seen.
    watch.switchedOut(off(2, 120));
    expect(watch.overdue(131, () => 'S')).toMatchObject([{ tid: 2, sinceNs: 120 }]);
  });

  it('does not report sleep if only blocked threads count', () => {
    const watch = new StallWatch({ ...ANY, isBlockedOnly: true });
    for (const [index, isPreempted] of [false, false, true].entries()) watch.switchedOut(off(index, 100, isPreempted));
    expect(watch.overdue(1000, (_pid, tid) => (tid === 0 ? 'S' : tid === 1 ? 'D' : 'R')).map(({ tid }) => tid)).toEqual(
      [1, 2],
    );
  });

  it('reads the state of a few of ten thousand threads at a time, and gets to all of them', () => {
    const watch = new StallWatch({ ...ANY, thresholdNs: 10 * MS, isBlockedOnly: true });
    for (let tid = 1; tid <= 10_000; tid++) watch.switchedOut(off(tid, tid));
    let looks = 0;
    const found: number[] = [];
    for (let nowNs = watch.nextNs + 10_000; nowNs < Number.POSITIVE_INFINITY; nowNs = watch.nextNs) {
      const before = looks;
      const stateOf = (_pid: number, tid: number) => {
        looks++;
        return tid === 9_999 ? 'D' : 'S';
      };
      found.push(...watch.overdue(nowNs, stateOf).map(({ tid }) => tid));
      expect(looks - before).toBeLessThanOrEqual(32);
      // The next go is some time away, however often it is asked.
      expect(watch.overdue(nowNs + 1, stateOf)).toEqual([]);
    }
    expect(looks).toBe(10_000);
    expect(found).toEqual([9_999]);
  });
});
