// What every fault is run with, and its findings. Invariant: a finding is of one of four kinds, and each makes the run
// fail.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { clearedAtExit, endAll } from './processes.mjs';

export class Findings {
  /** Sentences, each about one thing. */
  lost = [];
  unreadable = [];
  leaks = [];
  /** What did not end as it should. */
  broken = [];
  /** What was done and checked, by name. */
  counts = {};

  count(what, by = 1) {
    this.counts[what] = (this.counts[what] ?? 0) + by;
  }

  get all() {
    return [...this.lost, ...this.unreadable, ...this.leaks, ...this.broken];
  }

  /** Ends a recorder in order: no file of it may be left but those that `expected` accepts. */
  async end(recorder, expected = () => false) {
    const { left, ending } = await recorder.down();
    for (const path of left.filter((each) => !expected(each))) {
      const inside = statSync(path).isDirectory() ? ` with ${readdirSync(path, { recursive: true }).join(', ')}` : '';
      this.leaks.push(`left behind by down: ${path}${inside}`);
    }
    if (ending) this.broken.push(ending);
    this.count('recorders ended in order');
  }
}

/** A number sequence that a seed repeats: mulberry32. */
export function randomOf(seed) {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, below: (limit) => Math.floor(next() * limit), pick: (list) => list[Math.floor(next() * list.length)] };
}

/** Runs `act` with a directory in memory for a recorder and one for snapshots; removes both, and ends all processes. */
export async function inPlace(act) {
  const place = mkdtempSync('/dev/shm/ringkeep-faults-');
  const directory = join(place, 'recorder');
  const clear = () => rmSync(place, { recursive: true, force: true, maxRetries: 5 });
  const isCleared = clearedAtExit(clear);
  mkdirSync(directory, { mode: 0o700 });
  try {
    return await act({ directory, place });
  } finally {
    await endAll();
    clear();
    isCleared();
  }
}
