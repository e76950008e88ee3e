/**
 * How much of a search a test does: a little each time that the tests run, a lot in `npm run test:long`. Invariant: both forms
 * make the same claim; the long one only tries it on more inputs.
 */
export const isLong = process.env.RINGKEEP_TESTS === 'long';

/** The parameters of fast-check for a property: how many inputs it is tried on. */
export function runs(usual: number, long: number): { readonly numRuns: number } {
  return { numRuns: isLong ? long : usual };
}
