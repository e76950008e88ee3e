/**
 * Names with `*` (any run of characters, none too) and `?` (any one), as a shell matches them; nothing else is special.
 * Invariant: matching never takes longer than a few passes over the name, whatever the pattern.
 */

/** Tells whether a whole name matches `glob`. */
export function compileGlob(glob: string): (name: string) => boolean {
  if (!/[*?]/.test(glob)) return (name) => name === glob;
  const pattern = [...glob];
  return (name) => matches(pattern, [...name]);
}

/** Goes back to the last star only: what an earlier one could have taken instead, the last one can take as well. */
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
