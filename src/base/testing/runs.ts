/**
 * The number of inputs of a property test: few in `npm test`, many in `npm run test:long`.
 * Invariant: both make the same claim; the long run only tries it on more inputs.
 */
export const isLong = process.env.RINGKEEP_TESTS === 'long';

/** The parameters of fast-check for a property: how many inputs it is tried on. */
export function runs(usual: number, long: number): { readonly numRuns: number } {
  return { numRuns: isLong ? long : usual };
}
