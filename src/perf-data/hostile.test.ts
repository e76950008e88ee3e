import { describe, expect, test } from 'vitest';
import { Feature } from '../abi/perf-data.ts';
import { isLong } from '../base/testing/runs.ts';
import { AddressMap } from './address-map.ts';
import { openCapture } from './capture.ts';
import { commAt, spaceAt } from './task-table.ts';
import { CaptureBuilder } from './testing/capture-builder.ts';

/** A file of so many hostile records may take seconds; at n² it would take hours. */
const LIMIT_MS = 20_000;
/** Records, mappings or threads of a hostile file. In a usual run there are enough that n² would not end in time. */
const MANY = isLong ? 200_000 : 40_000;
const MAIN = { pid: 100, tid: 100 };

function mapping(timeNs: bigint, start: bigint, end: bigint) {
  return {
    timeNs,
    start,
    end,
    fileOffset: 0n,
    file: `/f${timeNs}`,
    prot: 5,
    isExecutable: true,
    buildId: null,
    inode: null,
  };
}

describe('a hostile capture costs no more than n log n', () => {
  test('mappings that all overlap', { timeout: LIMIT_MS }, () => {
    const map = new AddressMap();
    const count = BigInt(MANY);
    for (let index = 0n; index < count; index++) map.add(mapping(index, index, 2n ** 40n - index));
    let wrong = 0;
    for (let index = 0n; index < count; index++) if (map.find(index, 2n ** 62n)?.timeNs !== index) wrong++;
    expect(wrong).toBe(0);
    expect(map.find(2n ** 39n, 5n)?.timeNs).toBe(5n);
  });

  test('one pid that is forked, named and mapped over and over', { timeout: LIMIT_MS }, () => {
    const builder = new CaptureBuilder();
    for (let index = 0; index < MANY / 4; index++) {
      const time = BigInt(index * 4 + 1);
      builder.fork({ pid: 1, tid: 1 }, MAIN, time).comm(MAIN, time + 1n, 'a', true);
      builder.mmap(MAIN, time + 2n, 0x1000n, 0x1000n, 0n, '/bin/a').exit(MAIN, time + 3n);
    }
    const { tasks } = openCapture(builder.build());
    expect(tasks.processes.filter(({ pid }) => pid === 100)).toHaveLength(MANY / 4);
  });

  test('one process that execs over and over, with many threads', { timeout: LIMIT_MS }, () => {
    const builder = new CaptureBuilder();
    for (let index = 0; index < MANY / 4; index++) {
      const time = BigInt(index * 2 + 1);
      builder.fork(MAIN, { pid: 100, tid: 1000 + index }, time).comm(MAIN, time + 1n, `c${index}`, true);
    }
    const { tasks } = openCapture(builder.build());
    const process = tasks.processes.find(({ pid }) => pid === 100)!;
    const thread = process.threads.find(({ tid }) => tid === 100)!;
    for (let time = 1n; time < MANY / 2; time += 2n) {
      expect(spaceAt(process, time)).toBeDefined();
      expect(commAt(thread, time + 1n)).toBe(`c${(time - 1n) / 2n}`);
    }
    expect(process.threads.filter(({ exitNs }) => exitNs === null).map(({ tid }) => tid)).toEqual([100]);
  });

  test('a chain of forks without an exec', { timeout: LIMIT_MS }, () => {
    let map = new AddressMap();
    for (let depth = 0n; depth < MANY / 2; depth++) {
      map.add(mapping(depth, 0x1000n, 0x2000n));
      map = new AddressMap(map, depth);
    }
    for (let index = 0; index < MANY / 2; index++) expect(map.find(0x9000n, 2n ** 62n)).toBeUndefined();
    expect(map.find(0x1000n, 2n ** 62n)?.timeNs).toBe(BigInt(MANY / 2) - 1n);
  });

  test('event descriptions with attrs of 0 bytes', () => {
    const bytes = new Uint8Array(1 << 20);
    new DataView(bytes.buffer).setUint32(0, 0xffffffff, true);
    const capture = openCapture(new CaptureBuilder().feature(Feature.eventDesc, bytes).build());
    expect(capture.features.eventDescriptions).toEqual([]);
    expect(capture.damage.map(({ reason }) => reason)).toContain('the eventDesc section is cut or damaged');
  });
});

test('a look-up among overlapping mappings is that of a search through all', () => {
  for (let seed = 1; seed < (isLong ? 400 : 80); seed++) {
    let state = seed;
    const next = (limit: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return BigInt((state >>> 8) % limit);
    };
    const map = new AddressMap();
    const ranges = Array.from({ length: 12 }, () => {
      const start = next(40);
      return { start, end: start + next(12), timeNs: next(6) };
    }).sort((a, b) => Number(a.timeNs - b.timeNs));
    for (const { timeNs, start, end } of ranges) map.add(mapping(timeNs, start, end));
    for (let address = 0n; address < 54n; address++) {
      const covering = map.mappings.filter(({ start, end }) => start <= address && address < end);
      for (let timeNs = 0n; timeNs < 7n; timeNs++) {
        const oldest = covering.findLast((each) => each.timeNs === covering[0]!.timeNs);
        const expected = covering.findLast((each) => each.timeNs <= timeNs) ?? oldest;
        expect(map.find(address, timeNs)).toBe(expected);
      }
    }
  }
});
