import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SeriesNames } from './series-symbols.ts';
import { addNamesElsewhere, type NamesOutcome, type SymbolizeRequest } from './symbolize-job.ts';

vi.mock('./symbolize-job.ts');

const DONE: NamesOutcome = { bytes: 10, isComplete: true, failure: null };

let problems: string[];
let names: SeriesNames;
/** Snapshots that are being looked at, in order, and what ends that. */
let begun: { path: string; wish: SymbolizeRequest; end: (outcome: NamesOutcome) => void }[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  problems = [];
  begun = [];
  names = new SeriesNames((problem) => problems.push(problem));
  vi.mocked(addNamesElsewhere).mockImplementation(
    (path, wish) =>
      new Promise((end) => {
        begun.push({ path, wish, end });
        wish.giveUp?.addEventListener('abort', () => end({ failure: 'ended by SIGKILL' }));
      }),
  );
});
afterEach(() => void vi.useRealTimers());

test('one snapshot is looked at after the other, the newest of those that wait first', async () => {
  for (const path of ['1', '2', '3']) names.add(path);
  const settled = names.settled();
  for (let at = 0; at < 3; at++) {
    await vi.waitUntil(() => begun.length > at);
    begun[at]!.end(DONE);
  }
  await settled;
  expect(begun.map(({ path }) => path)).toEqual(['1', '3', '2']);
  expect([problems, names.areComplete]).toEqual([[], true]);
});

test('while recording goes on it is in the background and has time; at the end somebody waits', async () => {
  names.add('1');
  names.add('2');
  const settled = names.settled();
  begun[0]!.end(DONE);
  await vi.waitUntil(() => begun.length === 2);
  expect(begun.map(({ wish: { timeMs, isInBackground } }) => ({ timeMs, isInBackground }))).toEqual([
    { timeMs: 30_000, isInBackground: true },
    { timeMs: 10_000, isInBackground: false },
  ]);
  begun[1]!.end(DONE);
  await settled;
});

test('when the command has ended, what takes too long is given up, and what waits has no names', async () => {
  names.add('1');
  names.add('2');
  const settled = names.settled();
  await vi.advanceTimersByTimeAsync(20_000);
  await settled;
  expect(problems).toEqual(['1 has no names: ended by SIGKILL', '2 has no names: there was no time']);
  expect(names.areComplete).toBe(false);
});

test('names of some frames only are said to be so', async () => {
  names.add('1');
  begun[0]!.end({ bytes: 10, isComplete: false, failure: null });
  await names.settled();
  expect(problems).toEqual(['1 has names for its newest frames only: there was no time for all']);
  expect(names.areComplete).toBe(false);
});
