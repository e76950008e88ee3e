/** The recorder is killed: its command runs on, and its rings can be read. */
import { readFileSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeRecord, type PerfRecord } from '../src/abi/record.ts';
import { RecordType } from '../src/abi/record-table.ts';
import { RingkeepError } from '../src/base/error.ts';
import { until } from '../src/base/testing/waiting.ts';
import { type RingContents, readRing } from '../src/ring/ring-reader.ts';
import { type Running, start } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const THREADS = 5;

test.for(['idle', 'noisy'] as const)(
  'SIGKILL of the recorder of an %s command leaves the command running and its rings whole',
  async (kind, context) => {
    needs(context, 'gcc', 'perf events');
    const command =
      kind === 'idle' ? [testProgram('naps-until-eof'), `${THREADS}`] : [testProgram('quiet-among-noisy'), '3'];
    const running = start(['record', '--ring', '32KiB', '--', ...command]);
    const tasks = kind === 'idle' ? THREADS + 1 : 4;
    await running.until('records in every ring', () => hasRecords(running, tasks));
    running.kill('SIGKILL');
    await running.exited;
    const rings = ringsOf(running);
    // `ringkeep recover` would read it; here it is only removed.
    const directory = running.ringDirectory()!;
    rmSync(directory, { recursive: true });
    running.input.end();
    const { signal, stdout } = await running.ended;

    expect(signal).toBe('SIGKILL');
    // The command ran to its end: it holds the output open until then.
    expect(stdout).toMatch(kind === 'idle' ? /^ready\ndone\n$/ : /^quiet \d+ \d+\n$/);
    // Its new parent reaps it.
    await until('the command to be reaped', () => running.leftovers().length === 0);

    expect(rings).toHaveLength(tasks);
    for (const ring of rings) {
      expect(ring.end).not.toBe('damaged');
      const records = recordsOf(ring);
      expect(records).toHaveLength(ring.recordCount);
      expect(records.every(({ type }) => type in NAME_OF_TYPE)).toBe(true);
      expect(records.every(({ id }) => id.tid === ring.header.tid)).toBe(true);
      // Newest first.
      const times = records.map(({ id }) => id.time!);
      expect(times).toEqual(times.toSorted((a, b) => (a > b ? -1 : 1)));
    }
  },
);

const NAME_OF_TYPE = Object.fromEntries(Object.entries(RecordType).map(([name, type]) => [type, name]));

function ringsOf(running: Running): RingContents[] {
  return running.ringFiles().map((path) => readRing(readFileSync(path)));
}

/** Whether all tasks have rings and one of them more than 20 records. */
function hasRecords(running: Running, tasks: number): boolean {
  try {
    const rings = ringsOf(running);
    return rings.length >= tasks && rings.some(({ recordCount }) => recordCount > 20);
  } catch (error) {
    // A ring that is being created has no header yet.
    if (error instanceof RingkeepError && error.code === 'not-a-ring') return false;
    throw error;
  }
}

function recordsOf({ header, records }: RingContents): PerfRecord[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const decoded: PerfRecord[] = [];
  for (let at = 0; at < records.length; at += decoded.at(-1)!.size)
    decoded.push(decodeRecord(view, at, header.events[0]!.attr));
  return decoded;
}
