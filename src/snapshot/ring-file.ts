/** Whether a file is a ring, by its magic. Apart from the reader of rings: the writer of snapshots checks it too. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { USER_PAGE_END } from '../abi/user-page.ts';
import { RING_MAGIC } from '../ring/ring-layout.ts';

/** False for one that cannot be read. */
export function isRingFile(path: string): boolean {
  try {
    // Opening a FIFO blocks.
    if (!statSync(path).isFile()) return false;
    const descriptor = openSync(path, 'r');
    try {
      const magic = new BigUint64Array(1);
      return readSync(descriptor, magic, 0, 8, USER_PAGE_END) === 8 && magic[0] === RING_MAGIC;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return false; // The caller opens it as a capture next and reports the error.
  }
}
