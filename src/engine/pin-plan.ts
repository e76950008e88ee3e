/**
 * The number of slots of each CPU: as many as the budget and the lock limit allow; without room for any, rings are not
 * pinned. Invariant: CPUs × slots × ring bytes ≤ what may be locked, whenever the plan pins at all.
 */
import { RingkeepError } from '../base/error.ts';
import { formatSize } from '../base/units.ts';

export interface PinRequest {
  readonly cpus: number;
  /** Bytes of a whole ring file. */
  readonly ringFileBytes: number;
  readonly slots: number | 'auto';
  /** Bytes that `auto` may use for pinned rings. */
  readonly budgetBytes: number;
  /** Bytes that this process may lock; Infinity without a limit. */
  readonly lockLimitBytes: number;
  /** A budget without room for one ring per CPU is no error: the rings are not pinned. */
  readonly mayBeUnpinned?: boolean;
}

export interface PinPlan {
  readonly slotsPerCpu: number;
  readonly pins: boolean;
  readonly degraded: readonly string[];
}

/** Beyond this many slots a CPU, further ones save no measurable number of pins. */
const MOST_SLOTS = 512;

/** Slots per CPU if rings are not pinned: they cost no locked memory, and each saves opening a ring again. */
const UNPINNED_SLOTS = 8;

/** Throws `pin-budget` if the budget has no room for one ring per CPU and that is to be refused. */
export function planPins(request: PinRequest): PinPlan {
  const { cpus, ringFileBytes, slots, budgetBytes, lockLimitBytes } = request;
  const perSlot = cpus * ringFileBytes;
  const permitted = Math.floor(lockLimitBytes / perSlot);
  if (slots === 'auto' && budgetBytes < perSlot) {
    const why = `a pin budget of ${formatSize(budgetBytes)} is too small for one ring on each of ${cpus} CPUs (${formatSize(perSlot)})`;
    if (request.mayBeUnpinned) {
      const sentence = `rings are not pinned and may be swapped out: ${why}`;
      return { slotsPerCpu: UNPINNED_SLOTS, pins: false, degraded: [sentence] };
    }
    throw new RingkeepError('pin-budget', why, { budgetBytes, neededBytes: perSlot });
  }
  const wanted = slots === 'auto' ? Math.min(MOST_SLOTS, Math.floor(budgetBytes / perSlot)) : slots;
  if (permitted < 1) {
    const why = `RLIMIT_MEMLOCK is ${formatSize(lockLimitBytes)} and one ring on each of ${cpus} CPUs takes ${formatSize(perSlot)}`;
    return { slotsPerCpu: wanted, pins: false, degraded: [`rings are not pinned and may be swapped out: ${why}`] };
  }
  if (wanted <= permitted) return { slotsPerCpu: wanted, pins: true, degraded: [] };
  const isAsked = slots !== 'auto';
  const note = `${permitted} slots per CPU instead of ${wanted}: RLIMIT_MEMLOCK is ${formatSize(lockLimitBytes)}`;
  return { slotsPerCpu: permitted, pins: true, degraded: isAsked ? [note] : [] };
}
