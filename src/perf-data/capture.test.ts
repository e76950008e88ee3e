import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { attrFlags, eventAttr, SampleType } from '../abi/event-attr.ts';
import { Feature } from '../abi/perf-data.ts';
import type { PerfRecord } from '../abi/record.ts';
import { Misc } from '../abi/record-table.ts';
import { RingkeepError } from '../base/error.ts';
import { openCapture } from './capture.ts';
import { concat, encodeText } from './feature-sections.ts';
import { commAt, spaceAt } from './task-table.ts';
import { CaptureBuilder, CPU_CLOCK, SAMPLE_TYPE, SIGNAL_DELIVER } from './testing/capture-builder.ts';

const MAIN = { pid: 100, tid: 100 };
const WORKER = { pid: 100, tid: 101 };

function times(records: Iterable<PerfRecord>): (bigint | undefined)[] {
  return Array.from(records, ({ id }) => id.time);
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof RingkeepError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

describe('a capture', () => {
  test('yields its records in time order: those without a time first, equal times in file order', () => {
    const bytes = new CaptureBuilder()
      .switchIn(MAIN, 2n ** 63n + 1n)
      .switchIn(MAIN, 5n)
      .comm(MAIN, 0n, 'first')
      .switchOut(MAIN, 5n)
      .comm(MAIN, 0n, 'second')
      .switchIn(MAIN, 2n ** 63n)
      .build();
    const capture = openCapture(bytes);
    expect(times(capture.records())).toEqual([0n, 0n, 5n, 5n, 2n ** 63n, 2n ** 63n + 1n]);
    const records = [...capture.records()];
    expect(records.slice(0, 2).map((record) => record.name === 'COMM' && record.body.comm)).toEqual([
      'first',
      'second',
    ]);
    expect(records.slice(2, 4).map(({ misc }) => misc & Misc.switchOut)).toEqual([0, Misc.switchOut]);
    expect(capture).toMatchObject({ recordCount: 6, firstNs: 5n, lastNs: 2n ** 63n + 1n, damage: [] });
  });

  test('gives each record the event whose id it carries', () => {
    const bytes = new CaptureBuilder().sample(MAIN, 1n, { ip: 7n }).signal(MAIN, 2n, 11).switchIn(MAIN, 3n).build();
    const capture = openCapture(bytes);
    expect(capture.events.map(({ name }) => name)).toEqual(['cpu-clock', 'signal:signal_deliver']);
    expect([0, 1, 2].map((index) => capture.eventAt(index).name)).toEqual([
      'cpu-clock',
      'signal:signal_deliver',
      'cpu-clock',
    ]);
  });

  test('finds ids inside the sample, not only at its start', () => {
    const sampleType = SampleType.ip | SampleType.tid | SampleType.time | SampleType.id;
    const attr = eventAttr({ sampleType, flags: attrFlags('sampleIdAll') });
    const events = [
      { name: 'a', attr, ids: [2n ** 40n] },
      { name: 'b', attr, ids: [2n ** 40n + 1n, 3n] },
    ];
    const builder = new CaptureBuilder(events).sample(MAIN, 1n, {}, events[1]).sample(MAIN, 2n, {}, events[0]);
    const capture = openCapture(builder.switchIn(MAIN, 3n).build());
    expect([0, 1, 2].map((index) => capture.eventAt(index).name)).toEqual(['b', 'a', 'a']);
  });

  test.each([64, 96, 112, 120, 128, 136, 256])('is read with attrs of %i bytes', (attrBytes) => {
    const capture = openCapture(new CaptureBuilder().sample(MAIN, 9n).build(attrBytes));
    expect(capture.events[0]!.attr).toMatchObject({ sampleType: SAMPLE_TYPE, size: attrBytes });
    expect(capture.events[0]!.ids).toEqual([11n]);
    expect(capture.record(0)).toMatchObject({ name: 'SAMPLE', id: { tid: 100, time: 9n } });
  });

  test('is read by range as it is from memory', () => {
    const builder = new CaptureBuilder();
    for (let index = 0; index < 60_000; index++)
      builder.sample(WORKER, BigInt((index * 7919) % 60_000) + 1n, { callchain: BigUint64Array.of(1n, 2n) });
    const bytes = builder.build();
    const port = { size: bytes.length, read: (offset: number, length: number) => bytes.slice(offset, offset + length) };
    const [whole, ranged] = [openCapture(bytes), openCapture(port)];
    expect(ranged.recordCount).toBe(60_000);
    for (let index = 0; index < 60_000; index += 97) expect(ranged.record(index)).toEqual(whole.record(index));
  });

  test('describes its machine', () => {
    const words = (...values: number[]) => new Uint8Array(Uint32Array.of(...values).buffer);
    const builder = new CaptureBuilder()
      .feature(Feature.hostname, encodeText('web-1'))
      .feature(Feature.osrelease, encodeText('6.18.0'))
      .feature(Feature.nrcpus, words(8, 4))
      .feature(Feature.cmdline, concat([words(2), encodeText('perf'), encodeText('record')]))
      .feature(Feature.sampleTime, new Uint8Array(BigUint64Array.of(5n, 9n).buffer))
      .feature(Feature.clockData, concat([words(1, 1), new Uint8Array(BigUint64Array.of(1_700n, 42n).buffer)]));
    expect(openCapture(builder.build()).features).toMatchObject({
      hostname: 'web-1',
      osrelease: '6.18.0',
      cpusAvailable: 8,
      cpusOnline: 4,
      cmdline: ['perf', 'record'],
      sampleTime: { firstNs: 5n, lastNs: 9n },
      clockData: { clockid: 1, wallNs: 1700n, clockNs: 42n },
    });
  });

  test('has a ringkeep section whose fields were all checked', () => {
    const rings = [{ pid: 'x' }, null, { pid: 1, tid: 2, comm: 7, records: -1, firstNs: 'soon' }] as never;
    const capture = openCapture(
      new CaptureBuilder().section({ cutNs: '77', rings, death: { pid: 1 } as never }).build(),
    );
    expect(capture.section).toMatchObject({ cutNs: '77', death: null });
    expect(capture.section!.rings).toEqual([
      {
        pid: 1,
        tid: 2,
        comm: '',
        records: 0,
        lost: 0,
        overwritten: 0,
        firstNs: null,
        lastNs: null,
        alive: false,
        leftOutBytes: 0,
      },
    ]);
    const points = [{ timeNs: '5', bytes: 4096 }, { timeNs: 'now', bytes: 1 }, { timeNs: '6', bytes: -1 }, null];
    const pinned = { boundBytes: 9, points } as never;
    expect(openCapture(new CaptureBuilder().section({ pinned }).build()).section!.pinned).toEqual({
      boundBytes: 9,
      points: [{ timeNs: '5', bytes: 4096 }],
    });
    const broken = openCapture(new CaptureBuilder().section({ cutNs: 'now' }).build());
    expect(broken.section).toBeNull();
    expect(broken.damage).toMatchObject([{ reason: 'the ringkeep section is cut or damaged' }]);
  });
});

describe('a file that is no readable capture is refused with a code', () => {
  const bytes = new CaptureBuilder().sample(MAIN, 1n).build();

  test.each([
    ['another file', new TextEncoder().encode('#!/bin/sh\necho hello world\n'), 'not-a-capture'],
    ['an empty file', new Uint8Array(0), 'not-a-capture'],
    [
      'the header of a pipe alone',
      concat([bytes.slice(0, 8), Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0)]),
      'not-a-capture',
    ],
    [
      'a big-endian capture',
      bytes.with(0, 0x32).map((_, i, all) => (i < 8 ? bytes[7 - i]! : all[i]!)),
      'unsupported-capture',
    ],
    ['the format of 2009', concat([new TextEncoder().encode('PERFFILE'), bytes.slice(8)]), 'unsupported-capture'],
    [
      'a directory’s header file',
      new CaptureBuilder().feature(Feature.dirFormat, new Uint8Array(8)).build(),
      'unsupported-capture',
    ],
    ['counts', new CaptureBuilder().feature(Feature.stat, new Uint8Array()).build(), 'unsupported-capture'],
    ['counts of a pipe', new CaptureBuilder().record('STAT_CONFIG', {}, {}).build(), 'unsupported-capture'],
  ])('%s', (_, content, code) => {
    expect(codeOf(() => openCapture(content))).toBe(code);
  });
});

describe('a file that is given in place of a capture is named in the error', () => {
  const core = new Uint8Array(200);
  core.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  core[16] = 4;
  const program = core.with(16, 3);

  test.each([
    ['a core', core, 'a core dump'],
    ['a program', program, 'an ELF program'],
    ['a .gz', gzipSync(new Uint8Array(100)), 'compressed with gzip'],
    ['a .zst', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, ...new Uint8Array(20)), 'compressed with zstd'],
    ['a .xz', Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, ...new Uint8Array(20)), 'compressed with xz'],
    ['a .zip', Uint8Array.of(0x50, 0x4b, 3, 4, ...new Uint8Array(20)), 'compressed with zip'],
    ['a .bz2', new TextEncoder().encode('BZh91AY&SY and the rest'), 'compressed with bzip2'],
    ['a text', new TextEncoder().encode('{"traceEvents": [] and so on'), 'does not begin as a perf.data file'],
    ['a piped header', new Uint8Array([...new TextEncoder().encode('PERFILE2'), 16, ...new Uint8Array(7)]), 'piped'],
    ['nothing', new Uint8Array(0), 'empty'],
  ])('%s', (_, content, words) => {
    expect(() => openCapture(content)).toThrow(expect.objectContaining({ code: 'not-a-capture' }));
    expect(() => openCapture(content)).toThrow(words);
  });
});

describe('damage', () => {
  function threeRecords(): CaptureBuilder {
    return new CaptureBuilder().switchIn(MAIN, 1n).switchOut(MAIN, 2n).switchIn(MAIN, 3n).switchOut(MAIN, 4n);
  }
  const recordBytes = threeRecords().records[0]!.length;

  test('to one record loses that record only', () => {
    const builder = threeRecords();
    const bytes = builder.build();
    const dataAt = findBytes(bytes, builder.records[0]!);
    bytes.fill(0, dataAt + recordBytes, dataAt + recordBytes + 8);
    const capture = openCapture(bytes);
    expect(times(capture.records())).toEqual([1n, 3n, 4n]);
    expect(capture.damage).toEqual([
      { offset: dataAt + recordBytes, bytes: recordBytes, reason: 'bytes that are no records' },
    ]);
  });

  test('that cuts the file loses what was cut', () => {
    const builder = threeRecords();
    const bytes = builder.build();
    const dataAt = findBytes(bytes, builder.records[0]!);
    const capture = openCapture(bytes.subarray(0, dataAt + 2 * recordBytes + 12));
    expect(times(capture.records())).toEqual([1n, 2n]);
    expect(capture.damage.map(({ offset }) => offset)).toContain(dataAt + 2 * recordBytes);
    expect(capture.section).toBeNull();
  });

  test('of an interrupted recording, whose data size is 0, loses nothing', () => {
    const builder = threeRecords();
    const bytes = builder.build();
    const dataAt = findBytes(bytes, builder.records[0]!);
    new DataView(bytes.buffer).setBigUint64(48, 0n, true);
    const capture = openCapture(bytes.subarray(0, dataAt + 4 * recordBytes));
    expect(times(capture.records())).toEqual([1n, 2n, 3n, 4n]);
    expect(capture.damage).toMatchObject([{ reason: expect.stringContaining('interrupted') }]);
  });

  test('is not reported for a capture without records', () => {
    const capture = openCapture(new CaptureBuilder().section({ cutNs: '5' }).build());
    expect(capture).toMatchObject({ recordCount: 0, damage: [], firstNs: null, section: { cutNs: '5' } });
  });
});

function findBytes(bytes: Uint8Array, part: Uint8Array): number {
  for (let at = 0; at + part.length <= bytes.length; at++)
    if (part.every((byte, index) => bytes[at + index] === byte)) return at;
  throw new Error('the part is not there');
}

describe('threads and processes', () => {
  test('have the names they had at the time', () => {
    const capture = openCapture(
      new CaptureBuilder()
        .comm(MAIN, 0n, 'sh')
        .fork(MAIN, WORKER, 10n)
        .comm(MAIN, 20n, 'node', true)
        .comm(WORKER, 30n, 'pool')
        .build(),
    );
    const [main, worker] = capture.tasks.threads;
    expect([5n, 19n, 20n].map((time) => commAt(main!, time))).toEqual(['sh', 'sh', 'node']);
    expect([10n, 29n, 30n].map((time) => commAt(worker!, time))).toEqual(['sh', 'sh', 'pool']);
    expect(worker).toMatchObject({ parentTid: 100, startNs: 10n, process: { pid: 100 } });
    expect(main!.comms.map(({ exec }) => exec)).toEqual([false, true]);
  });

  test('have no name before an exec that gave them their first one', () => {
    const capture = openCapture(
      new CaptureBuilder()
        .switchIn(MAIN, 5n)
        .comm(MAIN, 20n, 'node', true)
        .switchIn(WORKER, 25n)
        .comm(WORKER, 30n, 'pool')
        .build(),
    );
    const [main, worker] = capture.tasks.threads;
    expect([commAt(main!, 19n), commAt(main!, 20n), commAt(main!)]).toEqual([null, 'node', 'node']);
    expect(commAt(worker!, 25n)).toBe('pool');
  });

  test('are separate incarnations when a TID is reused', () => {
    const capture = openCapture(
      new CaptureBuilder()
        .fork(MAIN, WORKER, 10n)
        .switchIn(WORKER, 11n)
        .exit(WORKER, 12n)
        .switchOut(WORKER, 13n)
        .fork(MAIN, WORKER, 20n)
        .switchIn(WORKER, 21n)
        .build(),
    );
    const incarnations = capture.tasks.threads.filter(({ tid }) => tid === 101);
    expect(incarnations.map(({ startNs, exitNs }) => [startNs, exitNs])).toEqual([
      [10n, 12n],
      [20n, null],
    ]);
    const owners = Array.from({ length: 6 }, (_, index) => capture.threadAt(index)?.index);
    const [main, first, second] = capture.tasks.threads.map(({ index }) => index);
    expect(owners).toEqual([main, first, first, first, main, second]);
  });

  test('are the same when two events report one fork', () => {
    const capture = openCapture(
      new CaptureBuilder().fork(MAIN, WORKER, 10n).fork(MAIN, WORKER, 10n).switchIn(WORKER, 11n).build(),
    );
    expect(capture.tasks.threads.map(({ tid }) => tid).sort()).toEqual([100, 101]);
  });

  test('are the same when the second event reports the fork later, while the thread is running', () => {
    const { tasks } = openCapture(
      new CaptureBuilder()
        .fork(MAIN, WORKER, 10n)
        .switchIn(WORKER, 11n)
        .fork(MAIN, WORKER, 12n)
        .exit(WORKER, 20n)
        .build(),
    );
    expect(tasks.threads.filter(({ tid }) => tid === 101)).toMatchObject([{ startNs: 10n, exitNs: 20n }]);
  });

  test('are the same when a record of them is older than their fork, and then have the mappings of their parent', () => {
    const child = { pid: 200, tid: 200 };
    const { tasks } = openCapture(
      new CaptureBuilder()
        .mmap(MAIN, 1n, 0x1000n, 0x1000n, 0n, '/bin/a')
        .switchIn(child, 9n)
        .fork(MAIN, child, 10n)
        .sample(child, 11n)
        .build(),
    );
    const found = tasks.threads.filter(({ tid }) => tid === 200);
    expect(found).toHaveLength(1);
    expect(spaceAt(found[0]!.process, 11n).find(0x1000n, 11n)?.file).toBe('/bin/a');
  });

  test('keep their own mappings: a fork sees its parent’s until then, an exec begins anew, the newest wins', () => {
    const child = { pid: 200, tid: 200 };
    const capture = openCapture(
      new CaptureBuilder()
        .mmap(MAIN, 1n, 0x1000n, 0x1000n, 0x200n, '/bin/old')
        .fork(MAIN, child, 10n)
        .mmap(MAIN, 20n, 0x1000n, 0x800n, 0n, '/bin/parent-only')
        .mmap(child, 30n, 0x3000n, 0x1000n, 0n, '/lib/child')
        .comm(child, 40n, 'x', true)
        .mmap(child, 41n, 0x1000n, 0x1000n, 0n, '/bin/new')
        .build(),
    );
    const [parent, forked] = capture.tasks.processes;
    const find = (process: typeof parent, address: bigint, time: bigint) =>
      spaceAt(process!, time).find(address, time)?.file;
    expect(forked).toMatchObject({ pid: 200, parentPid: 100, startNs: 10n });
    expect([find(parent, 0x1100n, 5n), find(parent, 0x1100n, 25n), find(parent, 0x1900n, 25n)]).toEqual([
      '/bin/old',
      '/bin/parent-only',
      '/bin/old',
    ]);
    expect([find(forked, 0x1100n, 25n), find(forked, 0x3000n, 35n), find(forked, 0x4000n, 35n)]).toEqual([
      '/bin/old',
      '/lib/child',
      undefined,
    ]);
    expect([find(forked, 0x1100n, 45n), find(forked, 0x3000n, 45n)]).toEqual(['/bin/new', undefined]);
  });
});

test('events without names are called as perf list calls them', () => {
  const capture = openCapture(
    new CaptureBuilder([
      { ...CPU_CLOCK, name: '' },
      { ...SIGNAL_DELIVER, name: '' },
    ]).build(),
  );
  expect(capture.events.map(({ name }) => name)).toEqual(['cpu-clock', 'tracepoint:77']);
});
