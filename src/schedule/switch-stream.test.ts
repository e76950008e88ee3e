import { describe, expect, it, test } from 'vitest';
import { attrFlags, EventType, eventAttr, SampleType } from '../abi/event-attr.ts';
import { Feature } from '../abi/perf-data.ts';
import type { RingSummary } from '../abi/ringkeep-section.ts';
import { encodeTracingData } from '../abi/tracing-data.ts';
import { openCapture } from '../perf-data/capture.ts';
import { type BuiltEvent, CaptureBuilder, CPU_CLOCK, SAMPLE_TYPE } from '../perf-data/testing/capture-builder.ts';
import { type SwitchOutline, type SwitchSummary, streamSwitches } from './switch-stream.ts';

/** Every call of the sink, a line each. */
interface Streamed {
  readonly summary: SwitchSummary;
  readonly outline: SwitchOutline;
  readonly lines: string[];
}

function streamed(builder: CaptureBuilder): Streamed {
  const lines: string[] = [];
  let outline: SwitchOutline | undefined;
  const summary = streamSwitches(openCapture(builder.build()), (given) => {
    outline = given;
    return {
      born: (task, timeNs) => lines.push(`born ${task} @${timeNs}`),
      occupied: (cpu, task) => lines.push(`cpu${cpu} had ${task}`),
      switched: (timeNs, cpu, next, exits, records, bytes) =>
        lines.push(
          `@${timeNs} cpu${cpu} → ${next}${exits ? ' exits' : ''}${records ? ` ${records} records ${bytes} bytes` : ''}`,
        ),
    };
  });
  return { summary, outline: outline!, lines };
}

const switches = ({ lines }: Streamed) => lines.filter((line) => !line.startsWith('born'));
const one = { pid: 1, tid: 1, cpu: 0 };
const two = { pid: 1, tid: 2, cpu: 1 };

describe('SWITCH records', () => {
  it('are residencies with what was written in them', () => {
    const builder = new CaptureBuilder()
      .switchIn(one, 100n)
      .sample(one, 150n)
      .switchOut(one, 200n)
      .switchIn({ ...two, cpu: 0 }, 210n)
      .switchOut({ ...two, cpu: 0 }, 300n);
    const result = streamed(builder);
    const sampleBytes = builder.records[1]!.length;
    expect(switches(result)).toEqual([
      '@0 cpu0 → 1',
      `@100 cpu0 → 0 3 records ${80 + sampleBytes} bytes`,
      '@110 cpu0 → 2',
      '@200 cpu0 → 0 2 records 80 bytes',
    ]);
    expect(result.summary).toEqual({
      origin: 'SWITCH',
      cpus: 1,
      threads: 2,
      lengthNs: 200,
      leftOutNs: 0,
      lostRecords: 0,
      mendedSwitches: 0,
    });
  });

  it('begin in the middle: a task that goes out first was in at that moment, since when is not known', () => {
    const builder = new CaptureBuilder().switchIn(one, 100n).switchOut(two, 150n).switchOut(one, 200n);
    expect(streamed(builder).summary.mendedSwitches).toBe(1);
    expect(switches(streamed(builder))).toEqual([
      '@0 cpu0 → 1',
      '@50 cpu1 → 2',
      '@50 cpu1 → 0 1 records 40 bytes',
      '@100 cpu0 → 0 2 records 80 bytes',
    ]);
  });

  it('that were lost are mended: a task is in on one CPU, as long as is known, and one that goes out was in', () => {
    const builder = new CaptureBuilder()
      .switchIn(one, 100n)
      .switchIn({ ...two, cpu: 0 }, 200n) // Task 1 has gone out unseen.
      .switchIn({ ...two, cpu: 1 }, 300n) // Task 2 too.
      .switchOut(one, 400n) // Task 1 has come in unseen.
      .switchIn(one, 500n)
      .switchIn(one, 600n); // It has gone out unseen.
    const result = streamed(builder);
    expect(result.summary.mendedSwitches).toBe(1);
    expect(switches(result).map((line) => line.replace(/ \d+ records.*/, ''))).toEqual([
      '@0 cpu0 → 1',
      '@0 cpu0 → 0',
      '@100 cpu0 → 2',
      '@100 cpu0 → 0',
      '@200 cpu1 → 2',
      '@300 cpu0 → 1',
      '@300 cpu0 → 0',
      '@400 cpu0 → 1',
      '@400 cpu0 → 0',
      '@500 cpu0 → 1',
    ]);
  });

  it('to a task that a loss or an exec shows on a CPU are mended: as many switches are recorded as are left', () => {
    const builder = new CaptureBuilder()
      .comm(one, 100n, 'one', true)
      .record('LOST', { id: 11n, lost: 2n }, { ...one, time: 150n })
      .switchOut(one, 200n)
      .switchIn(one, 300n);
    const result = streamed(builder);
    const into = switches(result).filter((line) => / → 1/.test(line)).length;
    expect([into, result.summary.mendedSwitches]).toEqual([3, 2]);
  });

  it('end with an EXIT, behind which the task has no event any more', () => {
    const builder = new CaptureBuilder()
      .switchIn(one, 100n)
      .exit(one, 150n)
      .switchIn({ ...two, cpu: 0 }, 200n);
    expect(switches(streamed(builder)).map((line) => line.replace(/ \d+ records.*/, ''))).toEqual([
      '@0 cpu0 → 1',
      '@50 cpu0 → 0 exits',
      '@100 cpu0 → 2',
    ]);
  });

  it('of a tid that is reused are another task’s', () => {
    const builder = new CaptureBuilder()
      .switchIn(one, 100n)
      .fork(one, two, 110n)
      .switchIn(two, 120n)
      .exit(two, 130n)
      .fork(one, two, 140n)
      .switchIn(two, 150n);
    const { lines, summary } = streamed(builder);
    expect(lines.filter((line) => line.startsWith('born'))).toEqual(['born 1 @0', 'born 2 @10', 'born 3 @40']);
    expect(lines.at(-1)).toBe('@50 cpu1 → 3');
    expect(summary.threads).toBe(3);
  });

  it('count quiet threads too, and not those that had exited before', () => {
    const builder = new CaptureBuilder()
      .comm({ pid: 1, tid: 7 }, 0n, 'quiet')
      .fork(one, { pid: 1, tid: 8 }, 10n)
      .exit({ pid: 1, tid: 8 }, 20n)
      .switchIn(one, 100n)
      .switchOut(one, 200n);
    expect(streamed(builder).summary.threads).toBe(2);
  });

  it('begin where no ring of a snapshot has lost its older records', () => {
    const ring = (tid: number, overwritten: number, firstNs: string): RingSummary => ({
      pid: 1,
      tid,
      comm: '',
      records: 1,
      lost: 0,
      overwritten,
      firstNs,
      lastNs: '400',
      alive: true,
      leftOutBytes: 0,
    });
    const builder = new CaptureBuilder()
      .switchIn(two, 100n)
      .switchIn(one, 200n)
      .switchOut(two, 300n)
      .switchOut(one, 400n)
      .section({ rings: [ring(1, 5, '200'), ring(2, 0, '100')] });
    const result = streamed(builder);
    expect(switches(result)).toEqual([
      'cpu1 had 1',
      '@0 cpu0 → 2',
      '@100 cpu1 → 0 1 records 40 bytes',
      '@200 cpu0 → 0 2 records 80 bytes',
    ]);
    expect(result.summary).toMatchObject({ leftOutNs: 100, lengthNs: 200 });
  });

  it('lost by the recorder are counted', () => {
    const builder = new CaptureBuilder()
      .switchIn(one, 100n)
      .record('LOST', { id: 11n, lost: 40n }, { ...one, time: 150n })
      .record('LOST_SAMPLES', { lost: 2n }, { ...one, time: 160n })
      .switchOut(one, 200n);
    expect(streamed(builder).summary.lostRecords).toBe(42);
  });

  it('count the CPUs of the machine, also those where nothing happened', () => {
    const nrcpus = new Uint8Array(Uint32Array.of(8, 6).buffer);
    const builder = new CaptureBuilder().switchIn(two, 100n).feature(Feature.nrcpus, nrcpus);
    expect(streamed(builder).outline).toEqual({ origin: 'SWITCH', cpus: 6 });
  });
});

const FORMAT = [
  ['char prev_comm[16]', 8, 16, 0],
  ['pid_t prev_pid', 24, 4, 1],
  ['int prev_prio', 28, 4, 1],
  ['long prev_state', 32, 8, 1],
  ['char next_comm[16]', 40, 16, 0],
  ['pid_t next_pid', 56, 4, 1],
  ['int next_prio', 60, 4, 1],
]
  .map(([field, offset, size, signed]) => `\tfield:${field};\toffset:${offset};\tsize:${size};\tsigned:${signed};\n`)
  .join('');

const SCHED_SWITCH: BuiltEvent = {
  name: 'sched:sched_switch',
  attr: eventAttr({
    type: EventType.tracepoint,
    config: 372n,
    sampleType: SAMPLE_TYPE | SampleType.raw,
    flags: attrFlags('sampleIdAll'),
  }),
  ids: [13n],
};

function tracingData(id: number): Uint8Array {
  const none = new Uint8Array(0);
  const format = new TextEncoder().encode(`name: sched_switch\nID: ${id}\nformat:\n${FORMAT}\nprint fmt: ""\n`);
  return encodeTracingData({
    longBytes: 8,
    pageBytes: 4096,
    headerPage: none,
    headerEvent: none,
    ftraceFormats: [],
    systems: [
      { name: 'signal', formats: [] },
      { name: 'sched', formats: [format] },
    ],
    kallsyms: none,
    printkFormats: none,
    savedCmdlines: none,
  });
}

class SchedBuilder extends CaptureBuilder {
  constructor(formatId = 372) {
    super([CPU_CLOCK, SCHED_SWITCH]);
    this.feature(Feature.tracingData, tracingData(formatId));
  }

  switched(timeNs: bigint, cpu: number, prev: number, next: number, state = 1): this {
    const raw = new Uint8Array(68);
    const view = new DataView(raw.buffer);
    view.setInt32(24, prev, true);
    view.setBigInt64(32, BigInt(state), true);
    view.setInt32(56, next, true);
    return this.sample({ pid: prev, tid: prev, cpu }, timeNs, { raw }, SCHED_SWITCH);
  }
}

const ZOMBIE = 0x20;
const PREEMPTED = 0x100;

describe('samples of sched:sched_switch', () => {
  it('name both sides; an idle task is none', () => {
    const builder = new SchedBuilder()
      .switched(100n, 0, 0, 5)
      .switched(200n, 0, 5, 6, PREEMPTED)
      .switched(300n, 0, 6, 0);
    const result = streamed(builder);
    expect(switches(result)).toEqual(['@0 cpu0 → 1', '@100 cpu0 → 2', '@200 cpu0 → 0']);
    expect(result.summary).toMatchObject({ origin: 'sched_switch', threads: 2, lengthNs: 200 });
  });

  it('say by the state that a task leaves in that it exits', () => {
    const builder = new SchedBuilder().switched(100n, 1, 5, 0, ZOMBIE);
    expect(switches(streamed(builder))).toEqual(['@0 cpu1 → 1', '@0 cpu1 → 0 exits']);
  });

  it('are not taken beside SWITCH records, which have both sides of every task that is recorded', () => {
    const builder = new SchedBuilder().switchIn({ pid: 9, tid: 9, cpu: 0 }, 150n);
    builder.switched(200n, 0, 9, 5, PREEMPTED).switchOut({ pid: 9, tid: 9, cpu: 0 }, 200n);
    const { summary, lines } = streamed(builder);
    expect(summary.origin).toBe('SWITCH');
    expect(lines.filter((line) => line.startsWith('@'))).toEqual([
      '@0 cpu0 → 1',
      expect.stringMatching(/^@50 cpu0 → 0/),
    ]);
  });

  it('find the incarnation of a tid by time', () => {
    const builder = new SchedBuilder()
      .switched(100n, 0, 0, 2)
      .switched(110n, 0, 2, 0, ZOMBIE)
      .exit(two, 111n)
      .fork(one, two, 120n)
      .switched(130n, 0, 0, 2)
      .switched(140n, 0, 2, 0);
    const [first, , second] = switches(streamed(builder)).map((line) => line.split('→ ')[1]);
    expect(first).not.toBe(second);
  });

  it('are not read by the format of another tracepoint', () => {
    const builder = new SchedBuilder(371).switched(100n, 0, 0, 5);
    expect(() => streamed(builder)).toThrow(expect.objectContaining({ code: 'no-switches' }));
  });
});

test('a capture without switches, or without their CPUs, is refused by code, and what it lacks is in the details', () => {
  const none = new CaptureBuilder().sample(one, 100n);
  const attr = eventAttr({
    ...CPU_CLOCK.attr,
    sampleType: CPU_CLOCK.attr.sampleType & ~SampleType.cpu,
  });
  const noCpu = new CaptureBuilder([{ ...CPU_CLOCK, attr }]).switchIn(one, 100n);
  for (const [builder, why, details] of [
    [none, /has no switches/, { switches: 0 }],
    [noCpu, /carry no CPU/, { switches: 1, lack: 'cpu' }],
  ] as const)
    expect(() => streamed(builder)).toThrow(
      expect.objectContaining({ code: 'no-switches', message: expect.stringMatching(why), details }),
    );
});
