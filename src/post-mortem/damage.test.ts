/** Damage is data: a capture with bytes cut off or flipped opens, or is refused by code, and never hangs. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeProcfsSample, PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import { RingkeepError } from '../base/error.ts';
import { isLong, runs } from '../base/testing/runs.ts';
import { type Capture, openCapture } from '../perf-data/capture.ts';
import { DamageList, MAX_DAMAGE_ENTRIES } from '../perf-data/damage.ts';
import { encodeText } from '../perf-data/feature-sections.ts';
import { CaptureBuilder, CPU_CLOCK, SIGNAL_DELIVER } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from './post-mortem.ts';

function everyKindOfRecord(): Uint8Array<ArrayBuffer> {
  const main = { pid: 100, tid: 100 };
  const worker = { pid: 100, tid: 101 };
  const procfs = { ...SIGNAL_DELIVER, name: PROCFS_EVENT_NAME, ids: [13n] };
  const raw = encodeProcfsSample({
    state: 83,
    cpu: 1,
    onCpuNs: 5n,
    runDelayNs: 1n,
    timeslices: 2n,
    syscall: -1n,
    wchan: 'poll',
  });
  const builder = new CaptureBuilder([CPU_CLOCK, SIGNAL_DELIVER, procfs]);
  for (let round = 1n; round < 8n; round++) {
    const at = round * 1_000n;
    builder
      .mmap(main, at, 0x1000n * round, 0x1000n, 0n, '/usr/bin/node')
      .fork(main, worker, at + 1n)
      .comm(worker, at + 2n, 'worker', round === 5n)
      .switchIn(worker, at + 3n)
      .sample(worker, at + 4n, { ip: 0x1010n, callchain: BigUint64Array.of(1n, 0x1010n, 0x1020n) })
      .sample(worker, at + 5n, { raw }, procfs)
      .switchOut(worker, at + 6n, true)
      .record('LOST', { lost: 4n }, { ...worker, time: at + 7n })
      .record('FINISHED_ROUND', {}, {})
      .record('AUXTRACE', { auxBytes: 0n }, {})
      .exit(worker, at + 8n);
  }
  const death = {
    pid: 100,
    tid: 100,
    comm: 'node',
    signal: 'SIGSEGV',
    timeNs: 8_000,
    evidence: 'signal-deliver',
  } as const;
  return builder
    .signal(main, 8_000n, 11)
    .feature(3, encodeText('host'))
    .section({ cutNs: '9000', death, rings: [] })
    .build();
}

function readAll(bytes: Uint8Array): Capture | string {
  try {
    const capture = openCapture(bytes);
    const report = postMortem(capture, { lastNs: 5_000 });
    postMortem(capture);
    JSON.stringify(report);
    for (const record of capture.records()) expect(record.size).toBeGreaterThanOrEqual(8);
    return capture;
  } catch (error) {
    if (error instanceof RingkeepError) return error.code;
    throw error;
  }
}

const whole = everyKindOfRecord();

test('a whole capture has no damage', () => {
  expect(readAll(whole)).toMatchObject({ recordCount: 78, damage: [] });
});

test('a cut anywhere is survived', () => {
  // Behind the header and the attrs every 13th byte is cut at.
  const step = isLong ? 1 : 13;
  for (let length = 0; length < whole.length; length += length < 600 ? 1 : step) {
    const outcome = readAll(whole.subarray(0, length));
    if (typeof outcome === 'string') expect(outcome).toBe('not-a-capture');
  }
});

test('flipped bytes are survived', () => {
  const flips = fc.array(fc.record({ at: fc.nat(whole.length - 1), value: fc.integer({ min: 0, max: 255 }) }), {
    minLength: 1,
    maxLength: 24,
  });
  fc.assert(
    fc.property(flips, fc.nat(whole.length), (changes, length) => {
      const bytes = whole.slice();
      for (const { at, value } of changes) bytes[at] = value;
      readAll(bytes);
      readAll(bytes.subarray(0, length));
    }),
    runs(250, 5000),
  );
});

test('every byte of the header and the attrs may be anything', () => {
  for (let at = 0; at < 600; at++)
    for (const value of isLong ? [0, 1, 0x7f, 0x80, 0xff] : [0, 0xff]) readAll(whole.with(at, value));
});

test('noise behind a good header is survived', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 2_000 }), (noise) => {
      const bytes = new Uint8Array(104 + noise.length);
      bytes.set(whole.subarray(0, 104));
      bytes.set(noise, 104);
      readAll(bytes);
      // In a pipe, noise can also define events.
      new DataView(bytes.buffer).setBigUint64(8, 16n, true);
      readAll(bytes);
    }),
    runs(200, 3000),
  );
});

test('the list of damage is bounded', () => {
  const list = new DamageList();
  for (let offset = 0; offset < 5_000; offset++) list.add(offset, 1, 'noise');
  expect(list.entries).toHaveLength(MAX_DAMAGE_ENTRIES + 1);
  expect(list.entries.at(-1)!.reason).toContain('more damage');
});
