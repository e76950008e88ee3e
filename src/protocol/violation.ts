/**
 * An invariant of docs/PROTOCOL.md that does not hold, found where nothing sensible can follow: a driver that catches
 * it ends the execution.
 */
export class Violation extends Error {
  /** `I1` to `I12`, or what the kernel would call it: `oops`, `progress`. */
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.name = 'Violation';
    this.invariant = invariant;
  }
}

/** Throws a `Violation` of `invariant` unless `condition` holds. */
export function expectInvariant(condition: boolean, invariant: string, message: string): asserts condition {
  if (!condition) throw new Violation(invariant, message);
}
