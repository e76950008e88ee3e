/**
 * Every step of the corrected protocol: its name (as in docs/PROTOCOL.md), what it reads and writes, its effect. The
 * rows stand in three tables by subject; the operations beside them only put steps in order.
 *
 * Invariant: an effect touches no location that its row does not declare. Operands are `(event, cpu)` unless the row's
 * comment says otherwise; unused operands are -1.
 */
import { correctedClaimSteps } from './claim-steps.ts';
import { correctedLifeSteps } from './life-steps.ts';
import type { CorrectedParts } from './parts.ts';
import { correctedPinSteps } from './pin-steps.ts';

/** What an operation of the corrected protocol works on. */
export interface Corrected extends CorrectedParts {
  readonly steps: CorrectedSteps;
}

export type CorrectedSteps = ReturnType<typeof correctedSteps>;

/** All steps, bound to one state and one machine. */
export function correctedSteps(parts: CorrectedParts) {
  return Object.freeze({
    ...correctedClaimSteps(parts),
    ...correctedPinSteps(parts),
    ...correctedLifeSteps(parts),
  });
}
