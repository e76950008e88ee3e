/**
 * perf and ringkeep look at the same snapshot. Invariant: perf's three readings of it end with status 0 and without a
 * warning, and what both tell of a thread is the same.
 */
import { expect } from 'vitest';
import { countByThread, isSample, type Loss, type PerfLine, perf, perfScript } from './perf-reading.ts';
import { show } from './ringkeep.ts';

/** Fails the test unless perf reads `snapshot` silently and finds per thread what `ringkeep show` finds. Perf's lines. */
export function requireAgreement(snapshot: string, loss: Loss = 'whole'): PerfLine[] {
  perf(loss, 'script', '-i', snapshot);
  const lines = perfScript(snapshot, loss);
  // Of a file without samples perf report has nothing to report, and says so as an error.
  if (lines.some(({ text }) => isSample(text)))
    expect(perf(loss, 'report', '-i', snapshot, '--stdio')).toContain('# Samples');
  expect(factsByShow(snapshot)).toEqual(factsByPerf(lines));
  return lines;
}

/** What both tell of a thread; a tid that came round twice counts as one. */
interface Facts {
  samples: number;
  switchesIn: number;
  switchesOut: number;
  firstNs: bigint;
  lastNs: bigint;
}

function factsByPerf(lines: readonly PerfLine[]): Map<number, Facts> {
  const counts = countByThread(lines);
  const facts = new Map<number, Facts>();
  for (const [tid, times] of timesByThread(lines)) {
    const { samples = 0, switchesIn = 0, switchesOut = 0 } = counts.get(tid) ?? {};
    facts.set(tid, { samples, switchesIn, switchesOut, ...bounds(times) });
  }
  return facts;
}

/** When each thread was forked, and all of its own records. */
function timesByThread(lines: readonly PerfLine[]): Map<number, bigint[]> {
  const times = new Map<number, bigint[]>();
  const add = (tid: number, timeNs: bigint) => {
    const known = times.get(tid);
    if (known) known.push(timeNs);
    else times.set(tid, [timeNs]);
  };
  for (const { tid, timeNs, text } of lines) {
    const born = /^PERF_RECORD_FORK\(-?\d+:(\d+)\)/.exec(text)?.[1];
    if (born) add(Number(born), timeNs);
    // tid 0 is the idle task of a CPU, in whose name perf shows the kernel's mapping.
    if (tid > 0 && timeNs > 0n && !text.startsWith('PERF_RECORD_LOST')) add(tid, timeNs);
  }
  return times;
}

function bounds(times: readonly bigint[]): { firstNs: bigint; lastNs: bigint } {
  const ordered = times.toSorted((a, b) => (a < b ? -1 : 1));
  return { firstNs: ordered[0]!, lastNs: ordered.at(-1)! };
}

function factsByShow(snapshot: string): Map<number, Facts> {
  const facts = new Map<number, Facts>();
  for (const thread of show(snapshot).threads) {
    if (thread.firstNs === null || thread.lastNs === null) continue;
    const before = facts.get(thread.tid);
    facts.set(thread.tid, {
      samples: thread.samples + (before?.samples ?? 0),
      switchesIn: (thread.switchesIn ?? 0) + (before?.switchesIn ?? 0),
      switchesOut: (thread.switchesOut ?? 0) + (before?.switchesOut ?? 0),
      ...bounds([...(before ? [before.firstNs, before.lastNs] : []), BigInt(thread.firstNs), BigInt(thread.lastNs)]),
    });
  }
  return facts;
}
