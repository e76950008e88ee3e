/** Whether a file is a ring: by what it begins with. Apart from what reads rings, since whoever writes snapshots asks too. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { USER_PAGE_END } from '../abi/user-page.ts';
import { RING_MAGIC } from '../ring/ring-layout.ts';

/** False for one that cannot be read. */
export function isRingFile(path: string): boolean {
  try {
    // Who opens a FIFO waits.
    if (!statSync(path).isFile()) return false;
    const descriptor = openSync(path, 'r');
    try {
      const magic = new BigUint64Array(1);
      return readSync(descriptor, magic, 0, 8, USER_PAGE_END) === 8 && magic[0] === RING_MAGIC;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return false; // Whoever opens it as a capture next says what is wrong with it.
  }
}
