import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, type TestContext } from 'vitest';
import { readSideBandFile } from '../ring/side-band-file.ts';
import { SideBandStore, sideBandRecords } from './side-band-store.ts';
import { decodeAll } from './testing/cut-reading.ts';
import { attr, records } from './testing/scripted-source.ts';

const SESSION = 7n;

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'ringkeep-journal-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file system with space for so many bytes; `empty` removes what fills it up. */
function smallFileSystem(context: TestContext, bytes: number) {
  context.skip(process.getuid!() !== 0, 'only root may mount a small file system');
  const path = directory();
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
  context.skip(mounted.status !== 0, 'a tmpfs may not be mounted here');
  onTestFinished(() => void spawnSync('umount', ['-l', path]));
  const filler = join(path, 'filler');
  return {
    path,
    fill(leftBytes = 0) {
      const { bavail, bsize } = statfsSync(path);
      writeFileSync(filler, Buffer.alloc(bavail * bsize - leftBytes));
    },
    empty: () => rmSync(filler),
  };
}

function mmaps(count: number, time = 1): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    records.mmap({ tid: 1, pid: 1, time: time + i }, BigInt(4096 * (time + i))),
  );
}

/** Times of the records in the file, all of which must be whole. */
function timesIn({ path }: SideBandStore): number[] {
  const { records: bytes, leftOutBytes } = readSideBandFile(readFileSync(path));
  expect(leftOutBytes).toBe(0);
  return decodeAll(bytes).map(({ id }) => Number(id.time));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

describe('the side-band log’s file', () => {
  it('is continued after its last whole record, wherever it was cut', () => {
    const path = directory();
    const first = new SideBandStore(path, SESSION, attr);
    first.append(mmaps(3));
    first.close();
    const whole = readFileSync(first.path);
    for (let bytes = 0; bytes <= whole.length; bytes += 4) {
      writeFileSync(first.path, whole.subarray(0, bytes));
      const second = new SideBandStore(path, SESSION, attr);
      second.append(mmaps(1, 9));
      second.close();
      const times = timesIn(second);
      expect(times.at(-1)).toBe(9);
      expect(times.slice(0, -1)).toEqual(range(1, times.length - 1));
    }
  });

  it('is started anew where its header is damaged, so that the recorder starts', () => {
    const path = directory();
    const first = new SideBandStore(path, SESSION, attr);
    first.append(mmaps(3));
    first.close();
    const bytes = readFileSync(first.path);
    bytes.fill(0xff, 0, 8);
    writeFileSync(first.path, bytes);
    const second = new SideBandStore(path, SESSION, attr);
    second.append(mmaps(1, 9));
    second.close();
    expect(timesIn(second)).toEqual([9]);
  });

  it.each([
    ['a link', (path: string, elsewhere: string) => symlinkSync(elsewhere, path)],
    ['a directory', (path: string) => mkdirSync(path)],
  ])('is started anew where %s has its path, which is moved aside and not followed', (_what, put) => {
    const path = directory();
    const elsewhere = join(directory(), 'elsewhere');
    writeFileSync(elsewhere, 'not ours');
    const first = new SideBandStore(path, SESSION, attr);
    first.close();
    rmSync(first.path);
    put(first.path, elsewhere);
    const second = new SideBandStore(path, SESSION, attr);
    second.append(mmaps(1, 9));
    second.close();
    expect(timesIn(second)).toEqual([9]);
    expect(readFileSync(elsewhere, 'utf8')).toBe('not ours');
    expect(readdirSync(path).filter((name) => name.endsWith('.strange'))).toHaveLength(1);
  });

  it('has its header also where there was no space for it at first', (context) => {
    const small = smallFileSystem(context, 1 << 16);
    small.fill();
    const store = new SideBandStore(small.path, SESSION, attr);
    store.append(mmaps(2));
    expect(store.missingBytes).toBeGreaterThan(0);
    small.empty();
    store.append(mmaps(2, 5));
    store.close();
    expect(timesIn(store)).toEqual([5, 6]);
  });

  it('has neither a half record nor a hole where space ran out, before and after a rewrite', (context) => {
    const small = smallFileSystem(context, 1 << 18);
    const store = new SideBandStore(small.path, SESSION, attr);
    for (const isRewritten of [false, true]) {
      if (isRewritten) expect(store.rewrite(mmaps(10))).toBe(true);
      else store.append(mmaps(10));
      small.fill(4096);
      store.append(mmaps(500, 100));
      expect(store.missingBytes).toBeGreaterThan(0);
      expect(timesIn(store)).toEqual(range(1, 10));
      small.empty();
      store.append(mmaps(2, 11));
      expect(timesIn(store)).toEqual(range(1, 12));
    }
    store.close();
  });

  it('stays as it is where it cannot be rewritten, and lacks nothing once it can', (context) => {
    const small = smallFileSystem(context, 1 << 18);
    const store = new SideBandStore(small.path, SESSION, attr);
    store.append(mmaps(10));
    small.fill();
    store.append(mmaps(500, 11));
    expect(store.rewrite(mmaps(500))).toBe(false);
    expect(timesIn(store)).toEqual(range(1, 10));
    expect(readdirSync(small.path)).not.toContain(`${store.path}.new`);
    small.empty();
    expect(store.rewrite(mmaps(500))).toBe(true);
    expect(store.missingBytes).toBe(0);
    expect(timesIn(store)).toEqual(range(1, 500));
    store.close();
  });

  it('starts a rewrite anew where one was cut off, and removes its file with its own', () => {
    const path = directory();
    const store = new SideBandStore(path, SESSION, attr);
    writeFileSync(`${store.path}.new`, 'half a journal');
    store.rewrite(mmaps(3));
    store.append(mmaps(1, 4));
    expect(timesIn(store)).toEqual([1, 2, 3, 4]);
    writeFileSync(`${store.path}.new`, 'half a journal');
    store.close();
    store.remove();
    expect(readdirSync(path)).toEqual([]);
  });
});

it('the records of a side-band log are read with their processes', () => {
  const path = directory();
  const store = new SideBandStore(path, SESSION, attr);
  const at = { tid: 3, pid: 2, time: 1 };
  store.append([
    records.comm(at, 'c'),
    records.lost(at, 5),
    records.fork(at, { tid: 8, pid: 8 }),
    records.exit(at),
    ...mmaps(1),
  ]);
  store.close();
  truncateSync(store.path, readFileSync(store.path).length - 4);
  expect([...sideBandRecords(readSideBandFile(readFileSync(store.path)))].map(({ pid }) => pid)).toEqual([2, 0, 8, 2]);
});
