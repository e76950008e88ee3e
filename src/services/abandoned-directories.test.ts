import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { abandonedDirectories } from './abandoned-directories.ts';

/** No kernel gives such a PID: PID_MAX_LIMIT is 2^22. */
const NO_PID = 2 ** 22 + 1;

it('names the directories of recorders that are gone, and no others', () => {
  const parent = mkdtempSync(join(tmpdir(), 'abandoned-'));
  try {
    const left = join(parent, `ringkeep-${NO_PID}-abcDEF`);
    // PID 1 had started long before this directory was made, and so it may be its recorder.
    for (const name of [`ringkeep-1-abcDEF`, `ringkeep-${NO_PID}`, `ringkeep-show-abcDEF`, 'other'])
      mkdirSync(join(parent, name));
    mkdirSync(left);
    symlinkSync(left, join(parent, `ringkeep-${NO_PID + 1}-abcDEF`));
    expect(abandonedDirectories([parent, parent, '/nowhere'])).toEqual([left]);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});
