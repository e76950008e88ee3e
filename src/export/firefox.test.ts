import { describe, expect, it, test } from 'vitest';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { breakpadId } from './firefox-tables.ts';
import { exportedText } from './testing/exported.ts';
import { FIXTURES, MAIN, NO_SWITCHES, recycledTid, sleepStacks, twoThreads, userStack } from './testing/fixtures.ts';

// biome-ignore lint/suspicious/noExplicitAny: JSON.
type Json = any;

const read = (builder: CaptureBuilder): Json => JSON.parse(exportedText(builder, 'firefox'));

/** The markers of a thread, a line each. */
function markers({ threads, shared }: Json, tid: number | string): string[] {
  const { markers: table } = threads.find((thread: Json) => thread.tid === tid);
  return table.name.map(
    (name: number, at: number) => `${shared.stringArray[name]} ${table.startTime[at]}–${table.endTime[at]}`,
  );
}

test.for(Object.entries(FIXTURES))(
  'the tables of %s have columns of one length, and every index leads somewhere',
  ([, build]) => {
    const { shared, threads, libs } = read(build());
    const tables = [shared.stackTable, shared.frameTable, shared.funcTable, shared.resourceTable];
    for (const table of [...tables, ...threads.flatMap(({ samples, markers }: Json) => [samples, markers])])
      for (const column of Object.values(table)) if (Array.isArray(column)) expect(column).toHaveLength(table.length);
    const within = (indices: (number | null)[], length: number) =>
      indices.every((index) => index === null || index === -1 || (index >= 0 && index < length));
    expect(within(shared.stackTable.frame, shared.frameTable.length)).toBe(true);
    expect(shared.stackTable.prefix.every((prefix: number | null, at: number) => prefix === null || prefix < at)).toBe(
      true,
    );
    expect(within(shared.frameTable.func, shared.funcTable.length)).toBe(true);
    expect(within(shared.funcTable.name, shared.stringArray.length)).toBe(true);
    expect(within(shared.funcTable.resource, shared.resourceTable.length)).toBe(true);
    expect(within(shared.resourceTable.lib, libs.length)).toBe(true);
    for (const { samples } of threads) expect(within(samples.stack, shared.stackTable.length)).toBe(true);
  },
);

describe('a thread', () => {
  it('has its samples in milliseconds from the first record, with the CPU time since the last one where that is known', () => {
    const [main] = read(twoThreads()).threads;
    expect(main).toMatchObject({ name: 'main', processName: 'main', pid: '100', tid: 100, isMainThread: true });
    expect(main.samples).toMatchObject({
      time: [0.001, 0.002, 0.005],
      // In the last of these times records of the other CPU were lost: it may have run there.
      threadCPUDelta: [1_000, 1_000, null],
      length: 3,
    });
  });

  it('has markers for the time off its CPU, up to the end of the capture, and for the time that is unknown', () => {
    expect(markers(read(twoThreads()), 100).filter((line) => !line.startsWith('cpu-clock'))).toEqual([
      'unknown 0.003–0.004',
      'unknown 0.006–0.007',
      'sleeping 0.007–0.0085',
    ]);
  });

  it('has markers for losses and for its death', () => {
    expect(markers(read(twoThreads()), 101)).toEqual(
      expect.arrayContaining(['5 records lost 0.007–null', 'SIGSEGV 0.008–null']),
    );
  });

  it('has no CPU times where the capture has no switches', () => {
    const [thread] = read(new CaptureBuilder([NO_SWITCHES]).sample(MAIN, 1n, userStack(1n))).threads;
    expect(thread.samples).not.toHaveProperty('threadCPUDelta');
  });

  it('whose number is reused has a number of its own', () => {
    const ids = read(recycledTid()).threads.map(({ pid, tid }: Json) => [pid, tid]);
    expect(ids).toEqual([
      ['100', 100],
      ['200', 200],
      ['200.1', '200.1'],
    ]);
  });
});

test('a time off a CPU has the stack that it began with as its cause', () => {
  const { threads, shared } = read(sleepStacks());
  const [main, worker] = threads;
  const nameOf = (stack: number) =>
    shared.stringArray[shared.funcTable.name[shared.frameTable.func[shared.stackTable.frame[stack]]]];
  const causes = ({ markers: { data } }: Json) =>
    data.flatMap(({ state, cause }: Json) => (cause ? [[state, cause.time, nameOf(cause.stack)]] : []));
  expect(causes(main)).toEqual([
    ['sleeping', 0.001, '[unknown]+0x20'],
    ['runnable', 0.90201, '[unknown]+0x30'],
  ]);
  expect(causes(worker)).toEqual([['sleeping', 0.904, '[unknown]+0x40']]);
});

test('a build id is written as breakpad writes it', () => {
  expect(breakpadId('be6397ddffc3e384c505d7deab3bed190c884df9')).toBe('DD9763BEC3FF84E3C505D7DEAB3BED190');
  expect(breakpadId(null)).toBe('');
});
