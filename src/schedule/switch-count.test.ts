/** Random captures in which records are missing and contradict each other, with a loss or an exec at any place. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isLong } from '../base/testing/runs.ts';
import { SchedCapture } from '../export/testing/fixtures.ts';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { streamSwitches } from './switch-stream.ts';

const TIDS = [100, 101, 102, 103];
const CPUS = [0, 1];
const REAPED = 0xffff_ffff;
const SLEEPS = 1;
const DEAD = 0x10;
const ZOMBIE = 0x20;
const PREEMPTED = 0x100;

/** Nanoseconds since the record before: within the edge of a switch, and beyond it. */
const waited = fc.constantFrom(1n, 10n, 60_000n);
const tid = fc.constantFrom(...TIDS);
const tidOrIdle = fc.constantFrom(0, ...TIDS);
const cpu = fc.constantFrom(...CPUS);

type Step =
  | { readonly kind: 'switch'; readonly prev: number; readonly next: number; readonly state: number; reaped: boolean }
  | { readonly kind: 'sample' | 'exit' | 'fork' | 'exec' | 'lost'; readonly tid: number };

const step = fc.record({
  waited,
  cpu,
  step: fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .record({
          kind: fc.constant('switch' as const),
          prev: tidOrIdle,
          next: tidOrIdle,
          state: fc.constantFrom(SLEEPS, PREEMPTED, PREEMPTED, ZOMBIE, DEAD),
          reaped: fc.boolean(),
        })
        .filter(({ prev, next }) => prev !== next),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constantFrom('sample', 'exit', 'fork', 'exec', 'lost' as const), tid }),
    },
  ) as fc.Arbitrary<Step>,
});

type Steps = readonly { readonly waited: bigint; readonly cpu: number; readonly step: Step }[];

/** Calls back for each step with the time of it. */
function timed(steps: Steps, write: (step: Step, time: bigint, cpu: number) => void): void {
  let time = 1000n;
  for (const { waited: ns, cpu: on, step: each } of steps) {
    time += ns;
    write(each, time, on);
  }
}

function writeOther(builder: CaptureBuilder, each: Step, time: bigint, on: number): void {
  if (each.kind === 'switch') return;
  const task = { pid: 100, tid: each.tid, cpu: on };
  if (each.kind === 'sample') builder.sample(task, time);
  else if (each.kind === 'exit') builder.exit(task, time);
  else if (each.kind === 'exec') builder.comm(task, time, 'x', true);
  else if (each.kind === 'lost') builder.record('LOST', { id: 11n, lost: 1n }, { ...task, time });
  else builder.fork({ pid: 100, tid: 100, cpu: on }, task, time);
}

/** Switches to a task in the stream, those that were put in, and whether a task is in on one CPU at a time. */
function counted(builder: CaptureBuilder): { into: number; mended: number } {
  let into = 0;
  const current = new Map<number, number>();
  const { mendedSwitches } = streamSwitches(openCapture(builder.build()), () => ({
    born: () => {},
    occupied: (on, task) => current.set(on, task),
    switched: (_, on, next) => {
      if (next !== 0) {
        into++;
        expect([...current.values()]).not.toContain(next);
      }
      current.set(on, next);
    },
  }));
  return { into, mended: mendedSwitches };
}

const COUNTED = 'the stream has every recorded switch to a task, and counts all others as mended: ';

test(`${COUNTED}sched_switch`, () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      const builder = new SchedCapture();
      let recorded = 0;
      // The stream begins with a switch.
      builder.switched(1000n, 0, 100, SLEEPS, 0);
      timed(steps, (each, time, on) => {
        if (each.kind !== 'switch') return writeOther(builder, each, time, on);
        if (each.next !== 0) recorded++;
        const own = each.reaped && each.prev !== 0 ? REAPED : each.prev;
        builder.switched(time, on, each.prev, each.state, each.next, {}, own);
      });
      const { into, mended } = counted(builder);
      expect(into - mended).toBe(recorded);
    }),
    { numRuns: isLong ? 20_000 : 300 },
  );
});

test(`${COUNTED}SWITCH`, () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      const builder = new CaptureBuilder();
      let recorded = 0;
      builder.switchOut({ pid: 100, tid: 100, cpu: 0 }, 1000n);
      timed(steps, (each, time, on) => {
        if (each.kind !== 'switch') return writeOther(builder, each, time, on);
        if (each.prev !== 0) builder.switchOut({ pid: 100, tid: each.prev, cpu: on }, time, each.state === PREEMPTED);
        if (each.next === 0) return;
        recorded++;
        builder.switchIn({ pid: 100, tid: each.next, cpu: on }, time);
      });
      const { into, mended } = counted(builder);
      expect(into - mended).toBe(recorded);
    }),
    { numRuns: isLong ? 20_000 : 300 },
  );
});
