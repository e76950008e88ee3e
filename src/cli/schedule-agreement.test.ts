/**
 * Every consumer of a capture's schedule has the same times of each thread, whichever records the switches are read
 * from, and a stretch in which records were lost is unknown in all of them. (speedscope and collapsed stacks have
 * samples only, no states.)
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { NO_SWITCHES, SchedCapture, SWITCHES, userStack } from '../export/testing/fixtures.ts';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from '../post-mortem/post-mortem.ts';
import { CONSUMERS, type Reading } from './testing/schedule-readings.ts';

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-agreement-'));
afterAll(() => rmSync(directory, { recursive: true }));

type Kinds = 'SWITCH and sched_switch' | 'SWITCH alone' | 'sched_switch alone';

const INTERRUPTIBLE = 1;
const UNINTERRUPTIBLE = 2;
const ZOMBIE = 0x20;
const PREEMPTED = 0x100;

/** Writes one and the same schedule by the kinds of records asked for. */
class Scenario {
  readonly builder: CaptureBuilder;
  readonly #kinds: Kinds;

  constructor(kinds: Kinds) {
    this.#kinds = kinds;
    if (kinds === 'SWITCH alone') this.builder = new CaptureBuilder([CPU_CLOCK, SWITCHES]);
    else this.builder = new SchedCapture([kinds === 'sched_switch alone' ? NO_SWITCHES : CPU_CLOCK]);
    for (const tid of [100, 101, 102]) this.builder.comm({ pid: 100, tid }, 0n, `${tid}`);
  }

  /** `prev` goes off the CPU, after it was sampled there, and `next` comes in; 0 is the idle task. */
  switched(time: bigint, cpu: number, prev: number, prevState: number, next: number): this {
    const { builder } = this;
    const out = { pid: 100, tid: prev, cpu };
    if (prev !== 0) builder.sample(out, time, userStack(0x10n));
    if (builder instanceof SchedCapture) builder.switched(time, cpu, prev, prevState, next, userStack(0x20n));
    else if (prev !== 0) builder.sample(out, time, userStack(0x20n), SWITCHES);
    if (this.#kinds === 'sched_switch alone') return this;
    if (prev !== 0) builder.switchOut(out, time, prevState === PREEMPTED);
    if (next !== 0) builder.switchIn({ pid: 100, tid: next, cpu }, time);
    return this;
  }

  /** Not known from SWITCH records. */
  waking(time: bigint, by: number, woken: number): this {
    if (this.builder instanceof SchedCapture) this.builder.waking(time, by, woken);
    return this;
  }
}

/** Preemption, sleep of both kinds, wakings, a thread that is forked, changes its CPU and exits. */
function busy(kinds: Kinds): Scenario {
  const scenario = new Scenario(kinds).switched(1_000n, 0, 0, 0, 100).switched(1_500n, 1, 0, 0, 101);
  scenario.builder.fork({ pid: 100, tid: 100, cpu: 0 }, { pid: 100, tid: 102 }, 2_000n);
  scenario
    .switched(2_500n, 1, 101, INTERRUPTIBLE, 102)
    .waking(2_800n, 100, 101)
    .switched(3_000n, 0, 100, PREEMPTED, 101)
    .switched(3_500n, 1, 102, UNINTERRUPTIBLE, 100)
    .switched(4_200n, 0, 101, INTERRUPTIBLE, 0)
    .waking(4_700n, 100, 102)
    .switched(4_800n, 0, 0, 0, 102)
    .switched(5_500n, 1, 100, INTERRUPTIBLE, 0);
  scenario.builder.exit({ pid: 100, tid: 102, cpu: 0 }, 5_900n);
  scenario
    .switched(6_000n, 0, 102, ZOMBIE, 0)
    .switched(7_000n, 1, 0, 0, 101)
    .switched(8_000n, 1, 101, INTERRUPTIBLE, 100)
    .builder.sample({ pid: 100, tid: 100, cpu: 1 }, 9_000n, userStack(0x30n));
  return scenario;
}

/** On a CPU and off it, by hand. */
const EXPECTED: Readonly<Record<number, Reading>> = {
  100: { onCpu: 2_000 + 2_000 + 1_000, offCpu: 500 + 2_500 },
  101: { onCpu: 1_000 + 1_200 + 1_000, offCpu: 500 + 2_800 + 1_000 },
  102: { onCpu: 1_000 + 1_200, offCpu: 500 + 1_300 },
};
/** Wakings end a sleep where they are recorded. */
const ASLEEP = {
  'SWITCH and sched_switch': { 100: 2_500, 101: 300 + 2_800 + 1_000, 102: 1_200 },
  'SWITCH alone': { 100: 2_500, 101: 500 + 2_800 + 1_000, 102: 1_300 },
  'sched_switch alone': { 100: 2_500, 101: 300 + 2_800 + 1_000, 102: 1_200 },
} as const;

function readingsOf(builder: CaptureBuilder, consumer: string): Record<number, Reading> {
  return CONSUMERS[consumer]!(join(directory, 'perf.data'), builder.build());
}

/** Of what is expected, the times that the consumer reports. */
function expectReading(actual: Reading | undefined, expected: Reading): void {
  for (const [key, value] of Object.entries(actual ?? {}))
    expect({ [key]: value }).toEqual({ [key]: expected[key as keyof Reading] });
}

describe.for<Kinds>(['SWITCH and sched_switch', 'SWITCH alone', 'sched_switch alone'])('times from %s', (kinds) => {
  test.for(Object.keys(CONSUMERS))('are the same in %s', (consumer) => {
    const readings = readingsOf(busy(kinds).builder, consumer);
    for (const tid of [100, 101, 102] as const)
      expectReading(readings[tid] ?? { onCpu: 0 }, { ...EXPECTED[tid], asleep: ASLEEP[kinds][tid], unknown: 0 });
  });
});

describe.for<Kinds>(['SWITCH and sched_switch', 'SWITCH alone', 'sched_switch alone'])(
  'with a loss, times from %s',
  (kinds) => {
    /**
     * The ring of CPU 1 lost records between 3,500 and 5,000: thread 100 ran there, the others were off the CPUs for
     * a part of that.
     */
    const lossy = () => {
      const { builder } = busy(kinds);
      return builder.record('LOST', { id: 11n, lost: 3n }, { pid: 100, tid: 100, cpu: 1, time: 5_000n });
    };
    const isWoken = kinds !== 'SWITCH alone';
    const expected: Readonly<Record<number, Reading>> = {
      100: { onCpu: 2_000 + 500 + 1_000, offCpu: 500 + 2_500, asleep: 2_500, unknown: 1_500 },
      101: {
        onCpu: 1_000 + 1_200 + 1_000,
        offCpu: 500 + 2_000 + 1_000,
        asleep: (isWoken ? 300 : 500) + 2_000 + 1_000,
        unknown: 800,
      },
      102: { onCpu: 1_000 + 1_200, offCpu: 500, asleep: 0, unknown: 1_300 },
    };

    test.for(Object.keys(CONSUMERS))('leave the time of the loss unknown in %s', (consumer) => {
      const readings = readingsOf(lossy(), consumer);
      for (const tid of [100, 101, 102]) {
        // Each has a sample behind the loss: the CPU time since the one before is not known.
        const onCpu = consumer === 'firefox' ? null : expected[tid]!.onCpu!;
        expectReading(readings[tid] ?? { asleep: 0 }, { ...expected[tid], onCpu });
      }
    });
  },
);

describe('a capture without switches', () => {
  const sampled = () =>
    new CaptureBuilder([NO_SWITCHES])
      .sample({ pid: 100, tid: 100 }, 10n)
      .sample({ pid: 100, tid: 100 }, 1_000_000_000n);

  test.for(['show', 'show --tree', 'perfetto', 'firefox'])('has no times in %s', (consumer) => {
    const { onCpu = null, offCpu, asleep, unknown } = readingsOf(sampled(), consumer)[100] ?? {};
    expect(onCpu).toBeNull();
    // Neither null nor 0 stands for a time.
    expect([offCpu, asleep, unknown].map((each) => each ?? 0)).toEqual([0, 0, 0]);
  });

  test('has no waits, and is refused by plan and simulate', () => {
    const [thread] = postMortem(openCapture(sampled().build())).threads;
    expect(thread).toMatchObject({ state: 'unknown', waits: [], onCpuNs: null, unknownNs: null, timesFrom: null });
    expect(() => readingsOf(sampled(), 'plan, simulate --from')).toThrow(
      expect.objectContaining({ code: 'no-switches' }),
    );
  });
});

/** Captures that other tools made. */
const CORPUS = new URL('../../../shared/captures/', import.meta.url);
const files = existsSync(CORPUS) ? readdirSync(CORPUS).filter((name) => /data/.test(name)) : [];

describe.skipIf(files.length === 0)('a capture of another tool (skipped where they are absent)', () => {
  test.each(files)('%s has the same times in every consumer, and no times without switches', (file) => {
    const bytes = new Uint8Array(readFileSync(new URL(file, CORPUS)));
    const { threads } = postMortem(openCapture(bytes));
    const others = ['perfetto', 'plan, simulate --from'].map((consumer) => {
      try {
        return CONSUMERS[consumer]!(join(directory, 'foreign.perf.data'), bytes);
      } catch (error) {
        if ((error as { code?: string }).code === 'no-switches') return {};
        throw error;
      }
    });
    for (const { tid, switchesIn, waits, onCpuNs, offCpuNs } of threads) {
      if (switchesIn === null)
        expect({ tid, waits, onCpuNs, offCpuNs }).toEqual({ tid, waits: [], onCpuNs: null, offCpuNs: null });
      // A number that was used twice is two threads.
      else if (onCpuNs !== null && threads.filter((other) => other.tid === tid).length === 1)
        for (const readings of others) {
          const { onCpu = onCpuNs, offCpu = offCpuNs } = readings[tid] ?? {};
          expect({ tid, onCpu, offCpu }).toEqual({ tid, onCpu: onCpuNs, offCpu: offCpuNs });
        }
    }
  });
});
