import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ThreadClock } from './thread-clock.ts';

function clockAfter(feed: (clock: ThreadClock) => void, windowNs = 0n): ThreadClock {
  const clock = new ThreadClock(windowNs);
  feed(clock);
  return clock;
}

describe('a thread’s clock', () => {
  test('counts on-CPU, preempted and sleeping time apart', () => {
    const clock = clockAfter((it) => {
      it.switchedIn(100n);
      it.switchedOut(130n, true);
      it.switchedIn(137n);
      it.switchedOut(150n, false);
      it.switchedIn(250n);
      it.finish(251n);
    });
    expect(clock).toMatchObject({ onCpuNs: 30 + 13 + 1, preemptedNs: 7, sleepingNs: 100, wakeups: 1 });
  });

  test('of a ring that begins in the middle counts on-CPU from the first record', () => {
    const clock = clockAfter((it) => {
      it.seen(100n);
      it.seen(110n);
      it.switchedOut(120n, false);
      it.finish(200n);
    });
    expect(clock).toMatchObject({ onCpuNs: 20, sleepingNs: 80, phase: 'sleeping', sinceNs: 120n });
  });

  test('of a ring that begins with a switch-out counts from there', () => {
    const clock = clockAfter((it) => {
      it.switchedOut(120n, false);
      it.finish(200n);
    });
    expect(clock).toMatchObject({ onCpuNs: 0, sleepingNs: 80 });
  });

  test('counts a new thread’s wait for its first CPU as preempted', () => {
    const clock = clockAfter((it) => {
      it.forked(50n);
      it.switchedIn(60n);
      it.finish(65n);
    });
    expect(clock).toMatchObject({ onCpuNs: 5, preemptedNs: 10, sleepingNs: 0 });
  });

  test('leaves the gap of a lost switch-out uncounted', () => {
    const clock = clockAfter((it) => {
      it.switchedIn(100n);
      it.seen(110n);
      it.switchedIn(500n);
      it.finish(510n);
    });
    expect(clock).toMatchObject({ onCpuNs: 20, sleepingNs: 0, preemptedNs: 0 });
  });

  test('leaves the gap of a lost switch-in uncounted up to where the thread was seen', () => {
    const clock = clockAfter((it) => {
      it.switchedOut(1_000_000n, false);
      it.seen(3_000_000n);
      it.switchedOut(3_500_000n, false);
      it.finish(3_500_001n);
    });
    expect(clock).toMatchObject({ onCpuNs: 500_000, sleepingNs: 1 });
  });

  test('does not take a sample at the edge of a switch-out for a return', () => {
    const clock = clockAfter((it) => {
      it.switchedIn(100n);
      it.switchedOut(200n, false);
      it.seen(205n);
      it.switchedIn(1_000_000n);
      it.finish(1_000_000n);
    });
    expect(clock).toMatchObject({ onCpuNs: 100, sleepingNs: 999_800 });
  });

  test('counts only what lies in the window, and knows the phase at its begin', () => {
    const clock = clockAfter((it) => {
      it.switchedIn(100n);
      it.switchedOut(200n, false);
      it.switchedIn(300n);
      it.finish(330n);
    }, 290n);
    expect(clock).toMatchObject({ onCpuNs: 30, sleepingNs: 10, wakeups: 1 });
  });

  test('never counts more than the time between its first record and its end', () => {
    const step = fc.record({
      kind: fc.constantFrom('in', 'out', 'preempt', 'seen', 'named', 'fork'),
      gapNs: fc.nat(200_000),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1 }), fc.nat(500_000), (steps, windowNs) => {
        const clock = new ThreadClock(BigInt(windowNs));
        let timeNs = 1n;
        for (const { kind, gapNs } of steps) {
          timeNs += BigInt(gapNs);
          if (kind === 'in') clock.switchedIn(timeNs);
          else if (kind === 'out' || kind === 'preempt') clock.switchedOut(timeNs, kind === 'preempt');
          else if (kind === 'fork') clock.forked(timeNs);
          else if (kind === 'named') clock.named(timeNs);
          else clock.seen(timeNs);
        }
        clock.finish(timeNs);
        const firstNs = 1n + BigInt(steps[0]!.gapNs);
        const from = firstNs > BigInt(windowNs) ? firstNs : BigInt(windowNs);
        const spanNs = timeNs > from ? Number(timeNs - from) : 0;
        const counted = clock.onCpuNs + clock.sleepingNs + clock.preemptedNs;
        expect(counted).toBeLessThanOrEqual(spanNs);
        expect(Math.min(clock.onCpuNs, clock.sleepingNs, clock.preemptedNs)).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 500 },
    );
  });
});
