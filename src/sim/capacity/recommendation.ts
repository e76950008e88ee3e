/**
 * Which number of slots to record with. Every setting whose bound fits the budget is safe, so what is weighed is the
 * time spent pinning against the memory laid out for it: the fewest slots beyond which more save next to nothing.
 *
 * Invariant: what is recommended has been simulated, and its bound is within the budget.
 */
import type { SimulationResult } from './simulation.ts';

export interface Recommendation {
  readonly result: SimulationResult;
  /** The candidate that spent least time pinning. */
  readonly fastest: SimulationResult;
  /** Slots a CPU of the largest candidate within the budget. */
  readonly mostSlots: number;
}

/** More slots are worth having while they save more than this part of the time spent pinning at one slot a CPU … */
const WORTH_PART = 0.05;
/** … and more than this part of one CPU: locked memory is scarcer than half a hundredth of one. */
const WORTH_CPUS = 0.005;

/** Of the results of one policy with different slots. Undefined: none fits. */
export function recommend(
  results: readonly SimulationResult[],
  budgetPages: number,
  lengthNs: number,
): Recommendation | undefined {
  const fitting = results
    .filter(({ pinnedPages: { bound } }) => bound !== null && bound <= budgetPages)
    .toSorted((a, b) => a.slotsPerCpu! - b.slotsPerCpu!);
  const [smallest] = fitting;
  if (!smallest) return undefined;
  const fastest = fitting.reduce((best, each) => (each.pinNs < best.pinNs ? each : best));
  const worthNs = Math.max(WORTH_PART * smallest.pinNs, WORTH_CPUS * lengthNs);
  const result = fitting.find(({ pinNs }) => pinNs - fastest.pinNs <= worthNs) ?? fastest;
  return { result, fastest, mostSlots: fitting.at(-1)!.slotsPerCpu! };
}
