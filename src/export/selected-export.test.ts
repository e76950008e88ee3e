/** Every format has every sample of what is selected, and no other; read by independent readers. */
import { Profile } from 'pprof-format';
import { describe, expect, test } from 'vitest';
import { RecordType } from '../abi/record-table.ts';
import { openCapture } from '../perf-data/capture.ts';
import { type CaptureSelection, SelectedPart } from '../perf-data/selection.ts';
import type { FormatName } from './formats.ts';
import { exported } from './testing/exported.ts';
import { FIXTURES, twoThreads } from './testing/fixtures.ts';
import { readPerfetto } from './testing/perfetto-reading.ts';

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Samples in an export. */
const COUNTS: Readonly<Record<FormatName, (bytes: Uint8Array) => number>> = {
  perfetto: (bytes) => readPerfetto(bytes).samples.length,
  pprof: (bytes) => sum(Profile.decode(bytes).sample.map(({ value }) => Number(value[0]))),
  speedscope: (bytes) =>
    sum(
      (JSON.parse(text(bytes)).profiles as { samples: number[][] }[]).map(
        ({ samples }) => samples.filter((stack) => stack.length > 0).length,
      ),
    ),
  firefox: (bytes) =>
    sum((JSON.parse(text(bytes)).threads as { samples: { length: number } }[]).map(({ samples }) => samples.length)),
  collapsed: (bytes) =>
    sum(
      text(bytes)
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1))),
    ),
};

const SELECTIONS: Readonly<Record<string, CaptureSelection>> = {
  'a thread': { tid: 101 },
  'a process': { pid: 100 },
  'a name': { comm: (comm) => comm.startsWith('m') },
  'the last part': { lastNs: 3_000 },
  'a thread in the last part': { tid: 100, lastNs: 1_100_000 },
  nothing: { tid: 7 },
};

describe.for(Object.entries(FIXTURES))('%s', ([, build]) => {
  test.for(Object.entries(SELECTIONS))('%s', ([, selection]) => {
    const capture = openCapture(build().build());
    const part = new SelectedPart(capture, selection);
    const indices = Array.from({ length: capture.recordCount }, (_, index) => index);
    const isCounted = (index: number) => capture.typeAt(index) === RecordType.SAMPLE && part.hasRecord(index);
    const expected = indices.filter(isCounted).length;
    for (const [format, count] of Object.entries(COUNTS) as [FormatName, (bytes: Uint8Array) => number][])
      expect([format, count(exported(capture, format, undefined, selection))]).toEqual([format, expected]);
  });
});

describe('the last part', () => {
  const reading = readPerfetto(exported(twoThreads(), 'perfetto', undefined, { lastNs: 4_700 }));

  test('begins with the state of each thread at that time', () => {
    expect(reading.states.slice(0, 3).map(({ timeNs, tid, state }) => [Number(timeNs), tid, state])).toEqual([
      [4_300, 100, 'TASK_STATE_STOPPED'],
      [4_300, 101, 'TASK_STATE_STOPPED'],
      [5_000, 100, 'TASK_STATE_RUNNING'],
    ]);
  });

  test('has its losses and nothing older', () => {
    expect(reading.counters.get('Records lost')).toEqual([
      { timeNs: 4_300n, value: 0 },
      { timeNs: 8_000n, value: 5 },
    ]);
    expect(reading.samples.map(({ timeNs }) => Number(timeNs))).toEqual([6_000, 8_500, 9_000]);
  });

  test('counts times from its begin in the Firefox profile and in speedscope', () => {
    const selection = { lastNs: 4_700 };
    const { threads } = JSON.parse(text(exported(twoThreads(), 'firefox', undefined, selection)));
    expect(threads[0].samples.time).toEqual([0.0017]);
    const { profiles } = JSON.parse(text(exported(twoThreads(), 'speedscope', undefined, selection)));
    expect(profiles[0].endValue).toBe(1_700);
  });
});

test('the selection of one thread has no track, states or marks of another', () => {
  const reading = readPerfetto(exported(twoThreads(), 'perfetto', undefined, { tid: 100 }));
  expect(reading.threads.map(({ tid }) => tid)).toEqual([100]);
  expect(new Set(reading.states.map(({ tid }) => tid))).toEqual(new Set([100]));
  expect(reading.marks).toEqual([]);
});
