/** What a start of ringkeep says of the rings that a killed `ringkeep record` left. Pure. */
import { printable } from './terminal.ts';

/** Directories that are named; further ones are counted. */
const MOST_NAMED = 3;

/** Lines, without their newlines; none where there is nothing left. */
export function abandonedText(directories: readonly string[]): string[] {
  const named = directories.slice(0, MOST_NAMED).map((directory) => {
    const path = printable(directory);
    return `a killed recorder left its rings in ${path}; save them: ringkeep recover ${path} -o FILE; or remove the directory`;
  });
  const further = directories.length - named.length;
  return further > 0 ? [...named, `and ${further} more: ringkeep recover lists them`] : named;
}
