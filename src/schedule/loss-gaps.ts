/**
 * Where records were lost, and what is not known for that.
 *
 *     ring of a CPU   ── record ──────────────── LOST, record ──
 *                               │◀── the gap ──▶│
 *
 * A ring loses records between the last that got through and its LOST. A gap in a thread's own ring (of a snapshot)
 * is the thread's. One in a CPU's ring concerns whatever ran there, and every thread that was off the CPUs: it may
 * have run there. A LOST that names no CPU may concern every thread. Threads that run on another CPU are not
 * concerned: their going there and leaving is in the ring of that CPU.
 *
 * In a gap a thread is `unknown`; behind it, in the state before, where its next record fits. Invariant: no more than
 * `MOST_GAPS` gaps cut a thread's time off the CPUs: of more, those closest to each other are one.
 */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import { matchRings } from '../perf-data/ring-matcher.ts';
import { ChangeTable, isOffCpu, type StateChange } from './change-table.ts';

/** From one record to another. */
interface Gap {
  readonly from: number;
  readonly to: number;
}

export interface LossGaps {
  readonly ofThread: ReadonlyMap<number, readonly Gap[]>;
  readonly ofCpu: ReadonlyMap<number, readonly Gap[]>;
  /** Of no known CPU. */
  readonly ofAny: readonly Gap[];
  /** All but the threads' own. */
  readonly all: readonly Gap[];
}

const MOST_GAPS = 256;

/** Undefined where the capture lost nothing at a known time. */
export function lossGaps(capture: Capture): LossGaps | undefined {
  const losses: number[] = [];
  for (let index = 0; index < capture.recordCount; index++)
    if (isLoss(capture.typeAt(index)) && capture.timeAt(index) > 0n) losses.push(index);
  return losses.length === 0 ? undefined : new GapFinder(capture).find();
}

function isLoss(type: number): boolean {
  return type === RecordType.LOST || type === RecordType.LOST_SAMPLES;
}

class GapFinder {
  readonly #capture: Capture;
  /** By thread: whether a ring of its own lost records. */
  readonly #hasLossyRing: readonly boolean[];
  readonly #ofThread = new Map<number, Gap[]>();
  readonly #ofCpu = new Map<number, Gap[]>();
  readonly #ofAny: Gap[] = [];

  constructor(capture: Capture) {
    this.#capture = capture;
    this.#hasLossyRing = Array.from(matchRings(capture).ofThread, (ring) => ring !== undefined && ring.lost > 0);
  }

  find(): LossGaps {
    const capture = this.#capture;
    const lastOfThread = new Map<number, number>();
    const lastOfCpu = new Map<number, number>();
    let last = -1;
    let first = -1;
    for (let index = 0; index < capture.recordCount; index++) {
      if (capture.timeAt(index) === 0n) continue;
      if (first < 0) first = index;
      const thread = capture.tasks.threadOfRecord[index]!;
      const cpu = capture.cpuAt(index);
      if (isLoss(capture.typeAt(index))) {
        const isThreads = this.#hasLossyRing[thread] === true;
        if (isThreads) add(this.#ofThread, thread, { from: lastOfThread.get(thread) ?? first, to: index });
        if (!isThreads || (capture.section?.kernelLost ?? 0) > 0) {
          if (cpu === null) this.#ofAny.push({ from: Math.max(last, first), to: index });
          else add(this.#ofCpu, cpu, { from: lastOfCpu.get(cpu) ?? first, to: index });
        }
        // A thread's own LOST is not the CPU's.
        if (isThreads) continue;
      }
      lastOfThread.set(thread, index);
      if (cpu !== null) lastOfCpu.set(cpu, index);
      last = index;
    }
    const all = joined([...this.#ofAny, ...[...this.#ofCpu.values()].flat()].sort((a, b) => a.from - b.from));
    return { ofThread: this.#ofThread, ofCpu: this.#ofCpu, ofAny: this.#ofAny, all: coarsened(all) };
  }
}

function add(gaps: Map<number, Gap[]>, key: number, gap: Gap): void {
  const same = gaps.get(key);
  if (same) same.push(gap);
  else gaps.set(key, [gap]);
}

/** Those that overlap are one. In the order of where they begin. */
function joined(gaps: readonly Gap[]): Gap[] {
  const apart: Gap[] = [];
  for (const gap of gaps) {
    const before = apart.at(-1);
    if (before === undefined || gap.from > before.to) apart.push(gap);
    else if (gap.to > before.to) apart[apart.length - 1] = { from: before.from, to: gap.to };
  }
  return apart;
}

function coarsened(gaps: readonly Gap[]): readonly Gap[] {
  if (gaps.length <= MOST_GAPS) return gaps;
  const distances = gaps.slice(1).map((gap, index) => ({ index, records: gap.from - gaps[index]!.to }));
  const kept = distances.sort((a, b) => b.records - a.records).slice(0, MOST_GAPS - 1);
  const ends = [...kept.map(({ index }) => index).sort((a, b) => a - b), gaps.length - 1];
  return ends.map((end, index) => ({ from: gaps[index === 0 ? 0 : ends[index - 1]! + 1]!.from, to: gaps[end]!.to }));
}

/**
 * The changes, with `unknown` in the gaps. `lastSeenOf`: the newest record that shows a thread on a CPU since it came
 * in.
 */
export function withGaps(changes: ChangeTable, gaps: LossGaps, lastSeenOf: (thread: number) => number): ChangeTable {
  const endOf = nextChanges(changes);
  const cut = new ChangeTable();
  let records = 0;
  for (let row = 0; row < changes.count; row++) {
    const change = changes.at(row);
    const { thread, state, cpu } = change;
    records = Math.max(records, change.record + 1);
    cut.add(thread, change.record, state, cpu, change.isSwitch);
    const end = endOf[row]!;
    const concerned = state === 'running' || isOffCpu(state) ? gapsIn(gaps, change, end) : [];
    const confirmed = end === NEVER && state === 'running' ? lastSeenOf(thread) : end;
    for (const { from, to } of concerned) {
      cut.add(thread, Math.max(from, change.record), 'unknown', cpu, false);
      records = Math.max(records, from + 1);
      if (to > confirmed || (end === NEVER && state !== 'running' && isOwn(gaps, thread, from, to))) break;
      if (to < end) cut.add(thread, to, state, cpu, false);
      records = Math.max(records, to + 1);
    }
  }
  return cut.sorted(records);
}

const NEVER = Number.POSITIVE_INFINITY;

/** By row: the record of the thread's next change. */
function nextChanges(changes: ChangeTable): Float64Array {
  const next = new Float64Array(changes.count);
  const later = new Map<number, number>();
  for (let row = changes.count - 1; row >= 0; row--) {
    const thread = changes.threadAt(row);
    next[row] = later.get(thread) ?? NEVER;
    later.set(thread, changes.recordAt(row));
  }
  return next;
}

/** The gaps that concern a state which lasts from its change to the record `end`. */
function gapsIn(gaps: LossGaps, { thread, state, cpu, record }: StateChange, end: number): Gap[] {
  const others = state === 'running' && cpu !== null ? [gaps.ofCpu.get(cpu) ?? NO_GAPS, gaps.ofAny] : [gaps.all];
  const found = [gaps.ofThread.get(thread) ?? NO_GAPS, ...others].flatMap((list) => overlapping(list, record, end));
  return joined(found.sort((a, b) => a.from - b.from));
}

/** Whether the thread itself lost records there: with no record behind them, nothing says what it did since. */
function isOwn({ ofThread }: LossGaps, thread: number, from: number, to: number): boolean {
  return overlapping(ofThread.get(thread) ?? NO_GAPS, from, to).length > 0;
}

function overlapping(list: readonly Gap[], from: number, to: number): readonly Gap[] {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.to <= from) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < list.length && list[end]!.from < to) end++;
  return low === end ? NO_GAPS : list.slice(low, end);
}

const NO_GAPS: readonly Gap[] = [];
