/**
 * How much of a depth-first search is done, from what is known of the branches at each depth of the present path. At
 * every state the branches are taken to be equally large: the weighted backtrack estimator (P. Kilby, J. Slaney, S.
 * Thiébaux, T. Walsh, "Estimating search tree size", AAAI 2006, after D. Knuth 1975).
 *
 * Invariant: in [0, 1]. It grows unevenly, and shrinks where a branch is added that was not foreseen.
 */
import { countOf } from './strategy.ts';

/**
 * By depth: the actors to be chosen there, those that have been, the present one included, and those that will not
 * be.
 */
export function fractionDone(
  depths: number,
  chosen: readonly number[],
  done: readonly number[],
  skipped: readonly number[],
): number {
  let fraction = 0;
  let weight = 1;
  for (let depth = 0; depth < depths; depth++) {
    const branches = countOf((chosen[depth]! & ~skipped[depth]!) | done[depth]!);
    if (branches === 0) break;
    fraction += (weight * (countOf(done[depth]!) - 1)) / branches;
    weight /= branches;
  }
  return Math.min(1, fraction);
}
