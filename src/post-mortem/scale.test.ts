/** A capture of very many records, in the long form a million. The time is printed, not judged: machines differ. */
import { expect, test } from 'vitest';
import { isLong } from '../base/testing/runs.ts';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from './post-mortem.ts';

const RECORDS = isLong ? 1_000_000 : 200_000;
const THREADS = 500;

/**
 * One thread's turn on a CPU, to be copied with other times and tids: building a million records one by one is slow.
 */
function manyRecords(): Uint8Array<ArrayBuffer> {
  const task = { pid: 1, tid: 1 };
  const stack = { ip: 1n, callchain: BigUint64Array.of(0x1000n, 0x2000n, 0x3000n, 0x4000n) };
  const turn = new CaptureBuilder()
    .switchIn(task, 1n)
    .sample(task, 2n, stack)
    .sample(task, 3n, stack)
    .switchOut(task, 4n);
  const builder = new CaptureBuilder();
  for (let index = 0; index < RECORDS / 4; index++) {
    const tid = 1000 + (index % THREADS);
    // Neighbours swap places, as the rings of two CPUs do.
    const time = BigInt((index ^ 1) * 1_000);
    turn.records.forEach((record, offset) => {
      const bytes = record.slice();
      const view = new DataView(bytes.buffer);
      const isSample = offset === 1 || offset === 2;
      const tidAt = isSample ? 24 : bytes.length - 32;
      view.setUint32(tidAt, 1000, true);
      view.setUint32(tidAt + 4, tid, true);
      view.setBigUint64(tidAt + 8, time + BigInt(offset + 1) * 100n, true);
      builder.records.push(bytes);
    });
  }
  return builder.build();
}

test(`${RECORDS.toLocaleString('en')} records are opened and reduced`, () => {
  const bytes = manyRecords();
  const startMs = performance.now();
  const capture = openCapture(bytes);
  const openedMs = performance.now();
  const report = postMortem(capture);
  const doneMs = performance.now();
  expect(report.totals).toEqual({
    processes: 1,
    threads: THREADS,
    namedOnly: 0,
    records: RECORDS,
    samples: RECORDS / 2,
    switchesIn: RECORDS / 4,
    switchesOut: RECORDS / 4,
  });
  expect(report.threads.every(({ onCpuNs }) => onCpuNs === (RECORDS / 4 / THREADS) * 300)).toBe(true);
  process.stdout.write(
    `${RECORDS.toLocaleString('en')} records, ${Math.round(bytes.length / 2 ** 20)} MiB: opened in ${Math.round(openedMs - startMs)} ms, ` +
      `post-mortem in ${Math.round(doneMs - openedMs)} ms, RSS ${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB\n`,
  );
});
