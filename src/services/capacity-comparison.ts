/**
 * Policies compared on one schedule: what `simulate` and `plan` have in common. Invariant: everything here is
 * simulated; sizes are in bytes, times in nanoseconds.
 */
import { eventAttr } from '../abi/event-attr.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { type RingGeometry, ringGeometry } from '../ring/ring-layout.ts';
import {
  CostModel,
  type Costs,
  corrected,
  type PolicyFactory,
  pinAll,
  posted,
  type SimulationResult,
  simulate,
} from '../sim/capacity/index.ts';
import type { Subject, Workload } from './capacity-subject.ts';

/** The result of one policy. The keys are stable. */
export interface PolicyReport {
  readonly policy: string;
  readonly kind: SimulationResult['kind'];
  readonly slots: number | null;
  readonly pinnedBytes: {
    readonly peak: number;
    readonly p99: number;
    readonly mean: number;
    readonly bound: number | null;
  };
  readonly pins: number;
  readonly unpins: number;
  readonly pinsPerSecond: number;
  /** Time in mlock and munlock, over all switches that brought a task in. */
  readonly pinNsPerSwitch: number;
  /** The same over the time that passed: 0.1 is a tenth of one CPU. */
  readonly pinCpus: number;
  readonly longestPinNs: number;
  /** Pages. */
  readonly swapIns: number;
  readonly swapOuts: number;
  readonly records: number;
  readonly lost: number;
  /** Of `lost`: written before the pin was done. */
  readonly lostLate: number;
  /** Tasks that were refused a ring at a lock limit. */
  readonly refusedTasks: number;
}

export interface Comparison {
  readonly simulated: true;
  readonly workload: Workload;
  readonly ring: { readonly dataBytes: number; readonly fileBytes: number };
  readonly eventsPerTask: number;
  /** null: no limit. */
  readonly memoryBytes: number | null;
  readonly lockLimitBytes: number | null;
  readonly costsNs: Costs;
  readonly policies: readonly PolicyReport[];
  /** The same in pages, with the series for the chart. */
  readonly results: readonly SimulationResult[];
}

export interface ComparisonOptions {
  readonly ringBytes: number;
  readonly eventsPerTask: number;
  readonly memoryBytes: number | null;
  readonly lockLimitBytes: number | null;
  readonly costs: Partial<Costs>;
  /** Slots to try. */
  readonly slots: readonly number[];
}

export function compare({ workload, schedule }: Subject, options: ComparisonOptions): Comparison {
  const ring = ringFile(workload.cpus, options.ringBytes);
  const pagesPerRing = ring.fileBytes / PAGE_BYTES;
  const costs = new CostModel(pagesPerRing, options.costs);
  const setting = {
    cpus: workload.cpus,
    tasks: schedule.tasks,
    eventsPerTask: options.eventsPerTask,
    pagesPerRing,
    headerPages: ring.dataOffset / PAGE_BYTES,
    lockLimitPages: pagesOrInfinity(options.lockLimitBytes),
    memoryPages: pagesOrInfinity(options.memoryBytes),
    costs,
  };
  const policies: PolicyFactory[] = [
    pinAll,
    posted,
    ...options.slots.map((slots) => corrected(slots, 'whole')),
    ...options.slots.map((slots) => corrected(slots, 'window')),
  ];
  const results = policies.map((policy) => simulate(schedule, setting, policy));
  return {
    simulated: true,
    workload,
    ring: { dataBytes: ring.dataBytes, fileBytes: ring.fileBytes },
    eventsPerTask: options.eventsPerTask,
    memoryBytes: options.memoryBytes,
    lockLimitBytes: options.lockLimitBytes,
    costsNs: costs.costs,
    policies: results.map((result) => reportOf(result, workload)),
    results,
  };
}

function pagesOrInfinity(bytes: number | null): number {
  return bytes === null ? Number.POSITIVE_INFINITY : Math.floor(bytes / PAGE_BYTES);
}

function reportOf(result: SimulationResult, workload: Workload): PolicyReport {
  const { pinnedPages, records } = result;
  const seconds = workload.lengthNs / 1e9;
  return {
    policy: result.policy,
    kind: result.kind,
    slots: result.slotsPerCpu,
    pinnedBytes: {
      peak: pinnedPages.peak * PAGE_BYTES,
      p99: pinnedPages.p99 * PAGE_BYTES,
      mean: Math.round(pinnedPages.mean * PAGE_BYTES),
      bound: pinnedPages.bound === null ? null : pinnedPages.bound * PAGE_BYTES,
    },
    pins: result.pins,
    unpins: result.unpins,
    pinsPerSecond: result.pins / seconds,
    pinNsPerSwitch: workload.switches === 0 ? 0 : result.pinNs / workload.switches,
    pinCpus: result.pinNs / workload.lengthNs,
    longestPinNs: result.longestPinNs,
    swapIns: result.swapIns,
    swapOuts: result.swapOuts,
    records: records.produced,
    lost: records.produced - records.written,
    lostLate: records.lostLate,
    refusedTasks: result.refusedTasks,
  };
}

/** The ring file that `ringkeep record` creates on so many CPUs: two events, an id on each CPU. */
export function ringFile(cpus: number, ringBytes: number): RingGeometry {
  const ids = new Array<bigint>(cpus).fill(0n);
  const event = { name: '', attr: eventAttr({}), ids };
  return ringGeometry([event, event], ringBytes);
}
