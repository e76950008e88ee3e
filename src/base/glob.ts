/**
 * Names with `*` (any run of characters, none too) and `?` (any one), as a shell matches them; nothing else is special.
 * Invariant: matching takes time linear in the name for each star of the pattern.
 */

/** A test of whether a whole name matches `glob`. */
export function compileGlob(glob: string): (name: string) => boolean {
  if (!/[*?]/.test(glob)) return (name) => name === glob;
  const pattern = [...glob];
  return (name) => matches(pattern, [...name]);
}

/** Backtracks to the last star only: whatever an earlier one could match instead, the last one can match as well. */
function matches(pattern: readonly string[], name: readonly string[]): boolean {
  let [at, next] = [0, 0];
  let [starAt, starNext] = [-1, 0];
  while (next < name.length) {
    if (pattern[at] === '*') {
      [starAt, starNext] = [at, next];
      at++;
    } else if (pattern[at] === '?' || pattern[at] === name[next]) {
      at++;
      next++;
    } else if (starAt >= 0) {
      starNext++;
      [at, next] = [starAt + 1, starNext];
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
