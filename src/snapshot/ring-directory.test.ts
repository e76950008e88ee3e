import { spawnSync } from 'node:child_process';
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { recordGeometry } from '../abi/record-view.ts';
import { createRingFile } from '../linux/shmem.ts';
import { initialiseRing, ringGeometry } from '../ring/ring-layout.ts';
import { RingWriter } from '../ring/ring-writer.ts';
import {
  livingRecorder,
  type RingsFound,
  readRecorderDirectory,
  readRingDirectory,
  readRingFile,
} from './ring-directory.ts';
import { isRingFile } from './ring-file.ts';
import { directoryWith, JOURNAL_NAME, ringImage, SESSION_ID, sideBandImage } from './testing/ring-files.ts';
import { CPU_CLOCK, START_NS, ThreadRecords } from './testing/synthetic.ts';

/** Called before each read of a file, and after each listing of a directory. */
let beforeRead = () => {};
let afterListing = () => {};
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const readSync = (...args: Parameters<typeof fs.readSync>) => {
    beforeRead();
    return fs.readSync(...args);
  };
  const readdirSync = (...args: Parameters<typeof fs.readdirSync>) => {
    const entries = fs.readdirSync(...args);
    afterListing();
    return entries;
  };
  return { ...fs, readSync, readdirSync };
});

const main = new ThreadRecords(100, 100);
const worker = new ThreadRecords(100, 101);
const RECORDS = [main.comm(START_NS, 'main'), main.switched(START_NS + 1n, false), main.switched(START_NS + 2n, true)];
const JOURNAL = sideBandImage([main.comm(START_NS, 'main'), main.fork(START_NS + 1n, 100, 101)]);

const made: string[] = [];
afterEach(() => {
  afterListing = () => {};
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

function place(files: Readonly<Record<string, Uint8Array>>): string {
  const directory = directoryWith(files);
  made.push(directory);
  return directory;
}

function pathsOf({ rings, sideBandLogs }: RingsFound, directory: string): string[] {
  return [...sideBandLogs, ...rings].map(({ path }) => relative(directory, path));
}

function whysOf({ problems }: RingsFound): string[] {
  return problems.map(({ why }) => why);
}

/** Of SWITCH records of `size` bytes, nanoseconds behind START_NS. */
function timesOf(records: Uint8Array, size: number): number[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const { fromEnd } = recordGeometry(CPU_CLOCK.attr);
  const times: number[] = [];
  for (let end = size; end <= records.length; end += size)
    times.push(Number(view.getBigUint64(end - fromEnd.time, true) - START_NS));
  return times;
}

describe('a runtime directory', () => {
  function runtimeOf(rings: string): string {
    const runtime = place({});
    symlinkSync(rings, join(runtime, 'events'));
    return runtime;
  }

  it('leads to the rings by its `events` link', () => {
    const rings = place({ '100': ringImage(RECORDS) });
    const runtime = runtimeOf(rings);
    const { directory, found } = readRecorderDirectory(runtime);
    expect([directory, pathsOf(found, runtime)]).toEqual([join(runtime, 'events'), ['events/100']]);
    expect(readRecorderDirectory(rings).directory).toBe(rings);
  });

  it('does not lead to rings of another user, and its link may dangle', (context) => {
    expect(readRecorderDirectory(runtimeOf('/nowhere')).found.rings).toEqual([]);
    if (process.geteuid?.() !== 0) context.skip('only root can give a directory to another user');
    const runtime = runtimeOf(place({ '100': ringImage(RECORDS) }));
    chownSync(runtime, 65534, 65534);
    expect(readRecorderDirectory(runtime)).toMatchObject({ directory: runtime, found: { rings: [] } });
  });
});

describe("a recorder's directory", () => {
  it('has side-band logs and rings, at any level, and other files are skipped', () => {
    const directory = place({
      'session.json': new TextEncoder().encode('{}'),
      [JOURNAL_NAME]: JOURNAL,
      'web/software/100': ringImage(RECORDS),
      'web/software/101.7': ringImage([], { tid: 101, ringId: 7n }),
      'web/software/notes.txt': new Uint8Array(9000),
      'web/software/deeper/102': ringImage(RECORDS),
    });
    const found = readRingDirectory(directory);
    expect(pathsOf(found, directory)).toEqual([JOURNAL_NAME, 'web/software/100', 'web/software/101.7']);
    expect(found.problems).toEqual([]);
    expect(found.sideBandLogs[0]!.sideBandLog).toMatchObject({ sessionId: SESSION_ID, leftOutBytes: 0 });
    expect(found.rings.map(({ contents }) => [contents.header.tid, contents.recordCount])).toEqual([
      [100, 3],
      [101, 0],
    ]);
  });

  it('of `ringkeep record` is flat and has no side-band log', () => {
    const directory = place({ '100.0.ring': ringImage(RECORDS), '101.1.ring': ringImage([], { tid: 101 }) });
    expect(pathsOf(readRingDirectory(directory), directory)).toEqual(['100.0.ring', '101.1.ring']);
  });

  it('is read but for unreadable files, each reported with its reason', () => {
    const whole = ringImage(RECORDS);
    const damaged = whole.slice();
    // The middle record's size: everything older is out of reach.
    damaged[4096 + 4096 - RECORDS[0]!.length - RECORDS[1]!.length + 6] = 13;
    const unnamed = whole.slice();
    unnamed.fill(0, 1088, 1096);
    const directory = place({
      '1': whole.subarray(0, 1000),
      '2': whole.subarray(0, 5000),
      '3': unnamed,
      '4': damaged,
      '5': whole,
      'journal-1': JOURNAL.subarray(0, 20),
      'journal-2': JOURNAL.subarray(0, JOURNAL.length - 4),
    });
    const found = readRingDirectory(directory);
    expect(pathsOf(found, directory)).toEqual(['journal-2', '4', '5']);
    expect(whysOf(found)).toEqual([
      'it is shorter than two pages',
      'it is shorter than two pages',
      'its magic number is missing',
      expect.stringMatching(/^\d+ bytes of it are damaged$/),
      'it is shorter than its header',
      expect.stringMatching(/^its last \d+ bytes hold no whole record$/),
    ]);
  });

  it('may have rings unfinished when the recorder was killed: no record is missing in them', () => {
    const whole = ringImage([]);
    const initialised = whole.slice();
    initialised.fill(0, 1088, 1096);
    const directory = place({
      '1': new Uint8Array(0),
      '2': new Uint8Array(whole.length),
      '3': initialised,
      '4': whole,
    });
    expect(readRingDirectory(directory)).toMatchObject({
      rings: [{ contents: { recordCount: 0 } }],
      unfinished: 3,
      problems: [],
    });
    expect(() => readRingFile(join(directory, '3'))).toThrow(expect.objectContaining({ code: 'not-a-ring' }));
  });

  it('does not lead elsewhere: links are not followed, and only regular files are opened', () => {
    const elsewhere = place({ '100': ringImage(RECORDS) });
    const directory = place({ '5': ringImage(RECORDS) });
    symlinkSync(join(elsewhere, '100'), join(directory, '6'));
    symlinkSync(elsewhere, join(directory, 'linked'));
    expect(pathsOf(readRingDirectory(directory), directory)).toEqual(['5']);
  });

  it("may have another user's files, which are not read", (context) => {
    if (process.geteuid?.() !== 0) context.skip('only root can give a file to another user');
    const directory = place({ '5': ringImage(RECORDS), '6': ringImage(RECORDS) });
    chownSync(join(directory, '6'), 65534, 65534);
    const found = readRingDirectory(directory);
    expect(pathsOf(found, directory)).toEqual(['5']);
    expect(whysOf(found)).toEqual(["it is another user's"]);
  });

  /** Each takes the place of a ring file, and what the reader then says of it. */
  const REPLACEMENTS: readonly (readonly [string, (path: string, ring: string) => void, string])[] = [
    ['a symbolic link to a ring', (path, ring) => symlinkSync(ring, path), 'it is not a regular file'],
    ['a FIFO', (path) => expect(spawnSync('mkfifo', [path]).status).toBe(0), 'it is not a regular file'],
    ['a directory', (path) => mkdirSync(path), 'it is not a regular file'],
  ];

  /** `replace` is called once the ring's directory has been listed, and before the ring is opened. */
  function replacedMeanwhile(replace: (path: string, ring: string) => void): RingsFound {
    const elsewhere = join(place({ '100': ringImage(RECORDS) }), '100');
    const directory = place({ 'web/software/5': ringImage(RECORDS), 'web/software/6': ringImage(RECORDS) });
    let listings = 0;
    afterListing = () => {
      if (++listings < 3) return;
      afterListing = () => {};
      const path = join(directory, 'web/software/6');
      rmSync(path);
      replace(path, elsewhere);
    };
    const found = readRingDirectory(directory);
    expect(pathsOf(found, directory)).toEqual(['web/software/5']);
    expect(found.unfinished).toBe(0);
    return found;
  }

  it.each(REPLACEMENTS)(
    'is read without %s that replaced a ring after the listing, and reports it',
    (_, replace, why) => {
      expect(whysOf(replacedMeanwhile(replace))).toEqual([why]);
    },
  );

  it("is read without another user's file that replaced a ring after the listing, and reports it", (context) => {
    if (process.geteuid?.() !== 0) context.skip('only root can give a file to another user');
    const found = replacedMeanwhile((path) => {
      writeFileSync(path, ringImage(RECORDS));
      chownSync(path, 65534, 65534);
    });
    expect(whysOf(found)).toEqual(["it is another user's"]);
  });

  it('is read as it was listed, though a link to another directory replaces it meanwhile', () => {
    const elsewhere = place({ 'web/software/5': ringImage(RECORDS) });
    const directory = place({ 'db/software/5': ringImage(RECORDS), 'web/software/6': ringImage(RECORDS) });
    let listings = 0;
    afterListing = () => {
      // Those of the directory, of db and of db/software: web is a link when it is opened.
      if (++listings !== 3) return;
      for (const name of ['db', 'web']) {
        renameSync(join(directory, name), join(directory, `${name}-before`));
        symlinkSync(join(elsewhere, 'web'), join(directory, name));
      }
    };
    const found = readRingDirectory(directory);
    expect(pathsOf(found, directory)).toEqual(['db/software/5']);
    expect(whysOf(found)).toEqual(['it cannot be read: ENOTDIR']);
  });

  it('that does not exist is an error with a code', () => {
    expect(() => readRingDirectory('/nowhere/at/all')).toThrow(expect.objectContaining({ code: 'capture-unreadable' }));
  });

  it('is read while files are truncated and removed, at any moment', () => {
    const directory = place(Object.fromEntries(Array.from({ length: 50 }, (_, tid) => [`${tid}`, ringImage(RECORDS)])));
    let left = 50;
    for (let tid = 0; tid < 50; tid++) {
      if (tid % 2) {
        rmSync(join(directory, `${tid}`));
        left--;
      } else truncateSync(join(directory, `${tid}`), tid * 250);
      const { rings, problems, unfinished } = readRingDirectory(directory);
      expect(rings.length + problems.length + unfinished).toBe(left);
    }
  });
});

describe('a ring file', () => {
  it('is recognised by its magic, and read with the side-band logs of the nearest directory above that has some', () => {
    const directory = place({ [JOURNAL_NAME]: JOURNAL, 'web/software/100': ringImage(RECORDS) });
    const path = join(directory, 'web/software/100');
    expect([path, join(directory, JOURNAL_NAME), directory, '/nowhere'].map(isRingFile)).toEqual([
      true,
      false,
      false,
      false,
    ]);
    const found = readRingFile(path);
    expect(pathsOf(found, directory)).toEqual([JOURNAL_NAME, 'web/software/100']);
    const alone = place({ '100': ringImage(RECORDS) });
    expect(pathsOf(readRingFile(join(alone, '100')), alone)).toEqual(['100']);
  });

  it('that is being written gives whole records only, and its recorder is found alive', () => {
    const directory = mkdtempSync('/dev/shm/ringkeep-test-');
    made.push(directory);
    const path = join(directory, '101');
    const geometry = ringGeometry([CPU_CLOCK], 4096);
    const mapping = createRingFile(path, geometry.fileBytes, geometry.fileBytes);
    const identity = { sessionId: 1n, ringId: 1n, pid: 100, tid: 101, startTimeNs: 1n, comm: 'worker' };
    const bytes = new Uint8Array(mapping.words.buffer, mapping.words.byteOffset, geometry.fileBytes);
    initialiseRing(bytes, geometry, { ...identity, recorderPid: process.pid }, [CPU_CLOCK]);
    const writer = new RingWriter(mapping.words, geometry);
    let serial = 0;
    const write = (records: number) => {
      for (let i = 0; i < records; i++) {
        const record = new Int32Array(worker.switched(START_NS + BigInt(serial++), true).buffer);
        writer.write(record, 0, record.byteLength);
      }
    };
    write(200);
    const size = worker.switched(START_NS, true).length;
    // Between any two reads of the file so many records come; from 60 on they go all the way round.
    for (const records of [1, 10, 30, 60, 200]) {
      beforeRead = () => write(records);
      const { contents } = readRingFile(path).rings[0]!;
      beforeRead = () => {};
      expect(contents.recordCount > 0).toBe(records < 60);
      const times = timesOf(contents.records, size);
      expect(times).toEqual(times.map((_, index) => times[0]! - index));
      expect(times[0] ?? 0).toBeLessThan(serial);
    }
    expect(livingRecorder(directory, readRingDirectory(directory))).toBe(process.pid);
    mapping.unmap();
    expect(livingRecorder(directory, readRingDirectory(directory))).toBeUndefined();
  });

  it('that becomes narrow or whole again during the read gives whole records only', () => {
    const geometry = ringGeometry([CPU_CLOCK], 8192);
    const identity = { sessionId: 1n, ringId: 1n, pid: 100, tid: 101, recorderPid: 1, startTimeNs: 1n, comm: 'worker' };
    const size = worker.switched(START_NS, true).length;
    const resizings = Array.from({ length: 16 }, (_, read) =>
      [1, 90, 110].map((records) => ({ read, records })),
    ).flat();
    for (const { read, records } of resizings) {
      for (const becomes of ['narrow', 'whole'] as const) {
        const path = join(place({}), '101');
        const image = new Uint8Array(geometry.fileBytes);
        initialiseRing(image, geometry, identity, [CPU_CLOCK]);
        const words = new Int32Array(image.buffer);
        const writer = new RingWriter(words, geometry);
        let serial = 0;
        const write = (count: number) => {
          for (let i = 0; i < count; i++) {
            const record = new Int32Array(worker.switched(START_NS + BigInt(serial++), true).buffer);
            writer.write(record, 0, record.byteLength);
          }
        };
        write(20);
        if (becomes === 'whole') {
          writer.narrow();
          write(150);
        }
        writeFileSync(path, image);
        let reads = 0;
        beforeRead = () => {
          if (reads++ !== read) return;
          if (becomes === 'whole') write(records);
          becomes === 'narrow' ? writer.narrow() : writer.widen();
          write(records);
          writeFileSync(path, image, { flag: 'r+' });
        };
        const { contents } = readRingFile(path).rings[0]!;
        beforeRead = () => {};
        const times = timesOf(contents.records, size);
        expect(contents.end).not.toBe('damaged');
        expect(times.length).toBeGreaterThan(0);
        expect(times).toEqual(times.map((_, index) => times[0]! - index));
      }
    }
  });
});
