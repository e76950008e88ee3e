import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SeriesSymbols } from './series-symbols.ts';
import { type SymbolizeOutcome, type SymbolizeRequest, symbolize } from './symbolize-job.ts';

vi.mock('./symbolize-job.ts');

const DONE: SymbolizeOutcome = { bytes: 10, isComplete: true, failure: null };

let problems: string[];
let symbols: SeriesSymbols;
/** The requests so far, in order, and how to end each. */
let begun: { request: SymbolizeRequest; end: (outcome: SymbolizeOutcome) => void }[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  problems = [];
  begun = [];
  symbols = new SeriesSymbols((problem) => problems.push(problem));
  vi.mocked(symbolize).mockImplementation(
    (request) =>
      new Promise((end) => {
        begun.push({ request, end });
        request.giveUp?.addEventListener('abort', () => end({ failure: 'killed by SIGKILL' }));
      }),
  );
});
afterEach(() => void vi.useRealTimers());

test('snapshots are symbolized one after another, the newest waiting one first', async () => {
  for (const path of ['1', '2', '3']) symbols.add(path);
  const settled = symbols.settled();
  for (let at = 0; at < 3; at++) {
    await vi.waitUntil(() => begun.length > at);
    begun[at]!.end(DONE);
  }
  await settled;
  expect(begun.map(({ request }) => request.path)).toEqual(['1', '3', '2']);
  expect([problems, symbols.areComplete]).toEqual([[], true]);
});

test('while recording it runs in the background and has more time than at the end', async () => {
  symbols.add('1');
  symbols.add('2');
  const settled = symbols.settled();
  begun[0]!.end(DONE);
  await vi.waitUntil(() => begun.length === 2);
  expect(begun.map(({ request: { timeMs, isInBackground } }) => ({ timeMs, isInBackground }))).toEqual([
    { timeMs: 30_000, isInBackground: true },
    { timeMs: 10_000, isInBackground: false },
  ]);
  begun[1]!.end(DONE);
  await settled;
});

test('after the command has exited, a slow process is killed and waiting snapshots are not symbolized', async () => {
  symbols.add('1');
  symbols.add('2');
  const settled = symbols.settled();
  await vi.advanceTimersByTimeAsync(20_000);
  await settled;
  expect(problems).toEqual(['1 is not symbolized: killed by SIGKILL', '2 is not symbolized: no time was left']);
  expect(symbols.areComplete).toBe(false);
});

test('an incomplete lookup is reported', async () => {
  symbols.add('1');
  begun[0]!.end({ bytes: 10, isComplete: false, failure: null });
  await symbols.settled();
  expect(problems).toEqual(['1 is symbolized for its newest samples only: no time was left for the others']);
  expect(symbols.areComplete).toBe(false);
});
