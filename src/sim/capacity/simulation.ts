/**
 * Runs a schedule through a policy and measures what it pins, what that costs and what is lost.
 *
 *  1. Births up to now, in time order.
 *  2. A switch: the task that goes out writes what it has recorded, is switched out, and exits if it does.
 *  3. The task that comes in returns to user mode, where its policy pins its ring. Its event starts when that is
 *     done, so of its records those are lost that fall into the time the pin takes (spread evenly over its
 *     residency). The live recorder loses none so: a record waits in the kernel's ring until its thread is pinned
 *     (`SwitchSchedule.isBatched`).
 *
 * The schedule is given: time that pinning takes delays no task. Invariant: written + lost = produced.
 */
import { assert } from '../../base/error.ts';
import type { CostModel } from './cost-model.ts';
import { RingPages } from './memory.ts';
import { eventCount, type Policy, type PolicyFactory, type PolicyKind, type PolicySetting } from './policy.ts';
import type { SwitchSchedule } from './schedule.ts';

export interface SimulationSetting extends PolicySetting {
  /** Pages that all rings may have resident; Infinity without pressure. */
  readonly memoryPages: number;
  readonly costs: CostModel;
}

/** Counts are over the whole schedule, from a cold start: rings begin untouched, slots empty. */
export interface SimulationResult {
  readonly policy: string;
  readonly kind: PolicyKind;
  readonly slotsPerCpu: number | null;
  /** `p99` and `mean` by time. `bound` null: the policy promises none. */
  readonly pinnedPages: {
    readonly peak: number;
    readonly p99: number;
    readonly mean: number;
    readonly bound: number | null;
  };
  readonly pins: number;
  readonly unpins: number;
  /** Time that mlock and munlock have taken. */
  readonly pinNs: number;
  /** The longest that one task waited for its pin at a switch. */
  readonly longestPinNs: number;
  /** Pages. */
  readonly swapIns: number;
  readonly swapOuts: number;
  readonly records: {
    readonly produced: number;
    readonly written: number;
    /** Before their pin was done. */
    readonly lostLate: number;
    /** Their ring was not pinned. */
    readonly lostUnpinned: number;
  };
  readonly refusedTasks: number;
  /** The most pages pinned in each of SERIES_POINTS equal parts of the time. */
  readonly series: Float64Array;
}

export const SERIES_POINTS = 400;
const P99 = 0.99;

export function simulate(
  schedule: SwitchSchedule,
  setting: SimulationSetting,
  make: PolicyFactory,
  points = SERIES_POINTS,
): SimulationResult {
  const memory = new RingPages({
    rings: eventCount(setting),
    pagesPerRing: setting.pagesPerRing,
    limitPages: setting.memoryPages,
    costs: setting.costs,
  });
  const policy = make(setting, memory);
  const gauge = new Gauge(memory, schedule.endNs, points);
  const { longestPinNs, ...records } = replay(schedule, setting, policy, memory, gauge);
  gauge.finish();
  return {
    policy: policy.name,
    kind: policy.kind,
    slotsPerCpu: policy.slotsPerCpu,
    pinnedPages: {
      peak: memory.pinnedPeak,
      p99: gauge.quantile(P99),
      mean: gauge.mean(),
      bound: policy.boundPages,
    },
    pins: policy.pins,
    unpins: policy.unpins,
    pinNs: memory.spentNs,
    longestPinNs,
    swapIns: memory.swapIns,
    swapOuts: memory.swapOuts,
    records,
    refusedTasks: policy.refusedTasks,
    series: gauge.series,
  };
}

type Replayed = SimulationResult['records'] & { readonly longestPinNs: number };

function replay(
  schedule: SwitchSchedule,
  setting: SimulationSetting,
  policy: Policy,
  memory: RingPages,
  gauge: Gauge,
): Replayed {
  const { cpus, count, timeNs, cpu, prev, next, exits, isBatched } = schedule;
  const { eventsPerTask } = setting;
  const births = birthOrder(schedule.bornNs);
  // By CPU: when its current task came in, and how long its pin took.
  const sinceNs = new Float64Array(cpus);
  const pinNs = new Float64Array(cpus);
  let born = 0;
  let written = 0;
  let lostLate = 0;
  let longestPinNs = 0;
  const bear = (now: number) => {
    while (born < births.length && schedule.bornNs[births[born]!]! <= now) policy.born(births[born++]!);
  };
  const enter = (task: number, on: number, now: number) => {
    const before = memory.spentNs;
    policy.switchIn(task, on);
    sinceNs[on] = now;
    pinNs[on] = memory.spentNs - before;
    if (pinNs[on]! > longestPinNs) longestPinNs = pinNs[on]!;
  };
  bear(0);
  schedule.initial.forEach((task, on) => {
    if (task !== 0) enter(task, on, 0);
  });
  gauge.look(0);
  for (let row = 0; row < count; row++) {
    const now = timeNs[row]!;
    const on = cpu[row]!;
    bear(now);
    const out = prev[row]!;
    if (out !== 0) {
      const produced = schedule.records[row]!;
      const late = isBatched ? 0 : lateRecords(produced, pinNs[on]!, now - sinceNs[on]!);
      const bytes =
        late === 0 ? schedule.bytes[row]! : Math.round((schedule.bytes[row]! * (produced - late)) / produced);
      written += policy.write(out, produced - late, bytes);
      lostLate += late * eventsPerTask;
      policy.switchOut(out, on);
      if (exits[row] === 1) policy.exit(out);
    }
    if (next[row] !== 0) enter(next[row]!, on, now);
    gauge.look(now);
  }
  const produced = schedule.producedRecords * eventsPerTask;
  const lostUnpinned = produced - written - lostLate;
  assert(lostUnpinned >= 0, 'no more is written than was produced');
  return { produced, written, lostLate, lostUnpinned, longestPinNs };
}

/** Records of a residency that fall before its pin is done. */
function lateRecords(records: number, pinNs: number, ranNs: number): number {
  if (pinNs === 0 || records === 0) return 0;
  return pinNs >= ranNs ? records : Math.round((records * pinNs) / ranNs);
}

/** Task numbers by time of birth. */
function birthOrder(bornNs: Float64Array): Int32Array {
  const tasks = Int32Array.from({ length: bornNs.length - 1 }, (_, index) => index + 1);
  return tasks.sort((a, b) => bornNs[a]! - bornNs[b]! || a - b);
}

/** Pinned pages over time. */
class Gauge {
  readonly series: Float64Array;
  readonly #memory: RingPages;
  readonly #endNs: number;
  /** Nanoseconds spent with so many pages pinned. */
  #spentNs = new Float64Array(1024);
  #sinceNs = 0;
  #pages = 0;
  #point = 0;

  constructor(memory: RingPages, endNs: number, points: number) {
    this.#memory = memory;
    this.#endNs = Math.max(1, endNs);
    this.series = new Float64Array(points);
  }

  look(nowNs: number): void {
    const pages = this.#memory.pinnedPages;
    if (nowNs > this.#sinceNs) {
      this.#spentNs[this.#pages]! += nowNs - this.#sinceNs;
      this.#sinceNs = nowNs;
    }
    const point = Math.min(this.series.length - 1, Math.floor((nowNs / this.#endNs) * this.series.length));
    // What was pinned up to here was so in all parts of the time that have passed.
    while (this.#point < point) this.#raise(++this.#point, this.#pages);
    this.#raise(point, pages);
    while (pages >= this.#spentNs.length) {
      const longer = new Float64Array(2 * this.#spentNs.length);
      longer.set(this.#spentNs);
      this.#spentNs = longer;
    }
    this.#pages = pages;
  }

  finish(): void {
    this.look(this.#endNs);
  }

  /** The least number of pages that were not exceeded in this part of the time. */
  quantile(part: number): number {
    let left = part * this.#spentNs.reduce((sum, ns) => sum + ns, 0);
    for (let pages = 0; pages < this.#spentNs.length; pages++) {
      left -= this.#spentNs[pages]!;
      if (left <= 0) return pages;
    }
    return this.#memory.pinnedPeak;
  }

  mean(): number {
    const allNs = this.#spentNs.reduce((sum, ns) => sum + ns, 0);
    return allNs === 0 ? this.#pages : this.#spentNs.reduce((sum, ns, pages) => sum + ns * pages, 0) / allNs;
  }

  #raise(point: number, pages: number): void {
    if (pages > this.series[point]!) this.series[point] = pages;
  }
}
