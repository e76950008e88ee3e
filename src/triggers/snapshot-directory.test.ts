import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SnapshotDirectory } from './snapshot-directory.ts';

const NOON = Date.UTC(2025, 10, 25, 12);

let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-snapshots-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** Writes snapshots of these sizes, a second apart; returns their names. */
function fill(directory: SnapshotDirectory, sizes: readonly number[], fromMs = NOON): string[] {
  return sizes.map((bytes, index) => {
    const path = directory.nextPath('stall', 7, fromMs + index * 1000);
    writeFileSync(path, Buffer.alloc(bytes));
    directory.written(path);
    return basename(path);
  });
}

describe('a directory of snapshots', () => {
  it('is made with mode 0700', () => {
    const { path } = new SnapshotDirectory(join(scratch, 'a', 'b'), { keep: 1 }, NOON);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  it('is refused when it is a link, a file, or others may write to it', () => {
    mkdirSync(join(scratch, 'open'));
    chmodSync(join(scratch, 'open'), 0o777);
    symlinkSync(scratch, join(scratch, 'link'));
    writeFileSync(join(scratch, 'file'), '');
    for (const name of ['open', 'link', 'file', 'file/below']) {
      expect(() => new SnapshotDirectory(join(scratch, name), { keep: 1 }, NOON), name).toThrow(
        expect.objectContaining({ code: 'snapshot-directory' }),
      );
    }
  });

  it('is checked again for each snapshot, and made again if it was removed', () => {
    const path = join(scratch, 'd');
    const directory = new SnapshotDirectory(path, { keep: 1 }, NOON);
    rmSync(path, { recursive: true });
    directory.nextPath('stall', 7, NOON);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    chmodSync(path, 0o777);
    expect(() => directory.nextPath('stall', 7, NOON)).toThrow(expect.objectContaining({ code: 'snapshot-directory' }));
    rmSync(path, { recursive: true });
    symlinkSync(scratch, path);
    expect(() => directory.nextPath('stall', 7, NOON)).toThrow(expect.objectContaining({ code: 'snapshot-directory' }));
  });

  it('names snapshots so that they sort by time, and skips names in use', () => {
    const directory = new SnapshotDirectory(scratch, { keep: 9 }, NOON);
    symlinkSync('nowhere', join(scratch, '20251125T120000.000Z-exit-signal-12.perf.data'));
    const names = [
      directory.nextPath('exit-signal', 12, NOON),
      directory.nextPath('psi', undefined, NOON),
      directory.nextPath('exit-signal', 12, NOON + 0.9),
      directory.nextPath('exit-signal', 12, NOON + 60_000),
      directory.nextPath('stall', 3, NOON + 60_001),
    ].map((path) => basename(path));
    expect(names).toEqual([
      '20251125T120000.001Z-exit-signal-12.perf.data',
      '20251125T120000.002Z-psi.perf.data',
      '20251125T120000.003Z-exit-signal-12.perf.data',
      '20251125T120100.000Z-exit-signal-12.perf.data',
      '20251125T120100.001Z-stall-3.perf.data',
    ]);
    expect(names.toSorted()).toEqual(names);
  });

  it('removes the oldest until number and bytes are within their limits, and never the newest', () => {
    const names = fill(new SnapshotDirectory(scratch, { keep: 3, keepBytes: 100 }, NOON), [10, 10, 10, 10]);
    expect(readdirSync(scratch)).toEqual(names.slice(1));
    const [large] = fill(new SnapshotDirectory(scratch, { keep: 3, keepBytes: 100 }, NOON), [500], NOON + 60_000);
    expect(readdirSync(scratch)).toEqual([large]);
  });

  it('keeps the last written one also when the clock was set back', () => {
    const directory = new SnapshotDirectory(scratch, { keep: 1 }, NOON);
    fill(directory, [1]);
    const names = fill(directory, [1], NOON - 3_600_000);
    expect(readdirSync(scratch)).toEqual(names);
  });

  it('leaves other names, links, directories and snapshots that are being written', () => {
    const target = join(scratch, 'target');
    writeFileSync(target, 'precious');
    const others = [
      '20251125T110000.000Z-stall-1.perf.data.bak',
      'a.20251125T110000.000Z-stall-1.perf.data',
      'perf.data',
    ];
    for (const name of others) writeFileSync(join(scratch, name), '');
    symlinkSync(target, join(scratch, '20251125T110000.000Z-stall-1.perf.data'));
    mkdirSync(join(scratch, '20251125T110000.000Z-stall-2.perf.data'));
    const directory = new SnapshotDirectory(scratch, { keep: 1 }, NOON);
    const before = readdirSync(scratch);
    const underWay = directory.nextPath('psi', undefined, NOON - 1000);
    writeFileSync(underWay, '');
    const written = fill(directory, [1, 1, 1]);
    expect(readdirSync(scratch)).toEqual([...before, basename(underWay), written.at(-1)].toSorted());
    expect(readFileSync(target, 'utf8')).toBe('precious');
    const { removed } = directory.written(underWay);
    expect(removed.map((path) => basename(path))).toEqual([written.at(-1)]);
  });

  it('removes unfinished snapshots of a killed recorder, and not those of a running one', () => {
    const unfinished = (second: number) => `.20251125T11000${second}.000Z-stall-1.perf.data.0123456789ab.tmp`;
    for (const [second, ageMs] of [3_600_000, 1000].entries()) {
      writeFileSync(join(scratch, unfinished(second)), '');
      utimesSync(join(scratch, unfinished(second)), new Date(NOON - ageMs), new Date(NOON - ageMs));
    }
    new SnapshotDirectory(scratch, { keep: 1 }, NOON);
    expect(readdirSync(scratch)).toEqual([unfinished(1)]);
  });
});
