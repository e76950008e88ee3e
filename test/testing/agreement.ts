/**
 * perf and ringkeep look at the same snapshot. Invariant: perf's three readings of it end with status 0 and without a
 * warning, and what both tell of a thread is the same.
 */
import { expect } from 'vitest';
import { countByThread, type Loss, type PerfLine, perf, perfScript } from './perf-reading.ts';
import { show } from './ringkeep.ts';

/** Fails the test unless perf reads `snapshot` silently and finds per thread what `ringkeep show` finds. Perf's lines. */
export function requireAgreement(snapshot: string, loss: Loss = 'whole'): PerfLine[] {
  perf(loss, 'script', '-i', snapshot);
  expect(perf(loss, 'report', '-i', snapshot, '--stdio')).toContain('# Samples');
  const lines = perfScript(snapshot, loss);
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
  const facts = new Map<number, Facts>();
  for (const [tid, { samples, switchesIn, switchesOut }] of countByThread(lines)) {
    const times = timesOf(lines, tid);
    // tid 0 is the idle task of a CPU, in whose name perf shows the kernel's mapping.
    if (tid > 0 && times.length > 0) facts.set(tid, { samples, switchesIn, switchesOut, ...bounds(times) });
  }
  return facts;
}

/** When the thread was forked, and all of its own records. */
function timesOf(lines: readonly PerfLine[], tid: number): bigint[] {
  return lines
    .filter(({ text, ...line }) => {
      const born = /^PERF_RECORD_FORK\(-?\d+:(\d+)\)/.exec(text)?.[1];
      return line.tid === tid ? !text.startsWith('PERF_RECORD_LOST') : Number(born) === tid;
    })
    .map(({ timeNs }) => timeNs)
    .filter((timeNs) => timeNs > 0n);
}

function bounds(times: readonly bigint[]): { firstNs: bigint; lastNs: bigint } {
  return {
    firstNs: times.reduce((first, time) => (time < first ? time : first)),
    lastNs: times.reduce((last, time) => (time > last ? time : last)),
  };
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
      ...bounds([
        ...(before ? [before.firstNs, before.lastNs] : []),
        BigInt(thread.firstNs),
        BigInt(thread.lastNs),
      ]),
    });
  }
  return facts;
}
