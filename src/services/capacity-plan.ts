/**
 * Recommends `ringkeep record` options for the workload in a capture.
 *
 * Invariant: the recommended setting was simulated on this capture, its bound is within the budget, and `ringkeep
 * record` accepts it unchanged: its own `planPins` agrees.
 */
import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert, RingkeepError } from '../base/error.ts';
import { formatSize } from '../base/units.ts';
import { planPins } from '../engine/pin-plan.ts';
import { type Costs, recommend } from '../sim/capacity/index.ts';
import { type Comparison, compare, ringFile } from './capacity-comparison.ts';
import { readSubject } from './capacity-subject.ts';

export interface PlanRequest {
  readonly budgetBytes: number;
  readonly ringBytes: number;
  readonly sampleHz: number;
  /** In place of the measured ones. */
  readonly costs: Partial<Costs>;
}

/** The recommendation. Its keys are stable: scripts read them. */
export interface Plan {
  readonly slots: number;
  readonly ringBytes: number;
  readonly pinBudgetBytes: number;
  /** CPUs x slots x bytes of a ring file: never exceeded, for any workload. */
  readonly boundBytes: number;
  /** Most bytes pinned at a time in the simulation. */
  readonly peakBytes: number;
  /** CPUs busy with pinning: as recommended, with one slot per CPU, and with as many as fit the budget. */
  readonly pinCpus: { readonly recommended: number; readonly least: number; readonly most: number };
  readonly mostSlots: number;
  /** For the command line of `ringkeep record`. */
  readonly options: readonly string[];
}

/** Throws `pin-budget` when one ring per CPU exceeds the budget, and what reading the capture throws. */
export function planCapture(file: string, request: PlanRequest): { comparison: Comparison; plan: Plan } {
  const { budgetBytes, ringBytes, costs } = request;
  const subject = readSubject(file, request.sampleHz, 'batch');
  const { cpus, lengthNs } = subject.workload;
  const { fileBytes } = ringFile(cpus, ringBytes);
  const mostSlots = slotsWithin(cpus, fileBytes, budgetBytes);
  const comparison = compare(subject, {
    ringBytes,
    eventsPerTask: 1,
    memoryBytes: null,
    lockLimitBytes: budgetBytes,
    costs,
    slots: slotsToTry(mostSlots),
  });
  // `ringkeep record` always starts by pinning the written page only.
  const candidates = comparison.results.filter(({ kind }) => kind === 'write-window');
  const chosen = recommend(candidates, Math.floor(budgetBytes / PAGE_BYTES), lengthNs);
  assert(chosen !== undefined, 'one slot per CPU fits and was tried');
  const { slotsPerCpu: slots, pinnedPages, pinNs } = chosen.result;
  const pins = planPins({ cpus, ringFileBytes: fileBytes, slots: slots!, budgetBytes, lockLimitBytes: budgetBytes });
  assert(pins.pins && pins.slotsPerCpu === slots, 'the recorder accepts the recommendation unchanged');
  const plan: Plan = {
    slots: slots!,
    ringBytes,
    pinBudgetBytes: budgetBytes,
    boundBytes: pinnedPages.bound! * PAGE_BYTES,
    peakBytes: pinnedPages.peak * PAGE_BYTES,
    pinCpus: {
      recommended: pinNs / lengthNs,
      least: candidates[0]!.pinNs / lengthNs,
      most: candidates.at(-1)!.pinNs / lengthNs,
    },
    mostSlots: chosen.mostSlots,
    options: [
      ...['--slots', `${slots}`],
      ...['--ring', sizeArgument(ringBytes)],
      ...['--pin-budget', sizeArgument(budgetBytes)],
    ],
  };
  return { comparison, plan };
}

/** As many as `--slots auto` chooses. */
function slotsWithin(cpus: number, ringFileBytes: number, budgetBytes: number): number {
  const neededBytes = cpus * ringFileBytes;
  if (budgetBytes < neededBytes) {
    throw new RingkeepError(
      'pin-budget',
      `a lock budget of ${formatSize(budgetBytes)} is too small for one ring on each of ${cpus} CPUs (${formatSize(neededBytes)})`,
      { budgetBytes, neededBytes, option: '--lock-budget' },
    );
  }
  return planPins({ cpus, ringFileBytes, slots: 'auto', budgetBytes, lockLimitBytes: Number.POSITIVE_INFINITY })
    .slotsPerCpu;
}

/** 1, 2, 4 … and the maximum. */
function slotsToTry(most: number): number[] {
  const slots: number[] = [];
  for (let count = 1; count < most; count *= 2) slots.push(count);
  return [...slots, most];
}

/** In the largest unit that divides it: parsing returns the same number. */
function sizeArgument(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const)
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  return `${bytes}`;
}
