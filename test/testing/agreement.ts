/**
 * Agreement between perf and ringkeep on one snapshot. Invariant: perf reads it three ways with status 0 and without a
 * warning, and both report the same of every thread.
 */
import { expect } from 'vitest';
import { countByThread, isSample, type Loss, type PerfLine, perf, perfScript } from './perf-reading.ts';
import { show } from './ringkeep.ts';

/** Fails unless perf reads `snapshot` without a warning and finds of each thread what ringkeep finds; perf's lines. */
export function requireAgreement(snapshot: string, loss: Loss = 'whole'): PerfLine[] {
  perf(loss, 'script', '-i', snapshot);
  const lines = perfScript(snapshot, loss);
  // perf report fails on a file without samples.
  if (lines.some(({ text }) => isSample(text)))
    expect(perf(loss, 'report', '-i', snapshot, '--stdio')).toContain('# Samples');
  expect(factsByShow(snapshot)).toEqual(factsByPerf(lines));
  return lines;
}

/** What both report of a thread; a TID that was reused counts as one thread. */
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

/** The times of each thread's FORK record and of all its own records. */
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
    // TID 0 is the idle task of a CPU: perf prints the kernel's mapping with it.
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
      samples: (thread.samples ?? 0) + (before?.samples ?? 0),
      switchesIn: (thread.switchesIn ?? 0) + (before?.switchesIn ?? 0),
      switchesOut: (thread.switchesOut ?? 0) + (before?.switchesOut ?? 0),
      ...bounds([...(before ? [before.firstNs, before.lastNs] : []), BigInt(thread.firstNs), BigInt(thread.lastNs)]),
    });
  }
  return facts;
}
