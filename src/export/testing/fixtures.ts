/**
 * Small captures, one for each thing that an export must get right. Invariant: what is in them can be counted by
 * hand.
 */
import { attrFlags, EventType, eventAttr, SampleType } from '../../abi/event-attr.ts';
import { Feature } from '../../abi/perf-data.ts';
import { encodeProcfsSample, PROCFS_EVENT_NAME } from '../../abi/procfs-sample.ts';
import { Misc } from '../../abi/record-table.ts';
import { Context, type SampleBody } from '../../abi/sample.ts';
import { encodeTracingData } from '../../abi/tracing-data.ts';
import { type BuiltEvent, CaptureBuilder, CPU_CLOCK, SAMPLE_TYPE } from '../../perf-data/testing/capture-builder.ts';

export const MAIN = { pid: 100, tid: 100, cpu: 0 };
export const WORKER = { pid: 100, tid: 101, cpu: 1 };
const LIBRARY = '/usr/lib/libwork.so';

/** A user stack, innermost first. */
export function userStack(...addresses: bigint[]) {
  return { ip: addresses[0]!, callchain: BigUint64Array.from([Context.user, ...addresses]) };
}

/**
 * Two threads: one is preempted, sleeps, is sampled three times on two stacks; the other loses records, and dies of a
 * signal.
 */
export function twoThreads(): CaptureBuilder {
  return new CaptureBuilder()
    .comm(MAIN, 0n, 'main')
    .comm(WORKER, 0n, 'worker')
    .mmap(MAIN, 0n, 0x10000n, 0x10000n, 0x1000n, LIBRARY)
    .switchIn(MAIN, 1_000n)
    .sample(MAIN, 2_000n, userStack(0x10030n, 0x10020n, 0x10010n))
    .switchIn(WORKER, 2_500n)
    .sample(MAIN, 3_000n, userStack(0x10040n, 0x10020n, 0x10010n))
    .switchOut(MAIN, 4_000n, true)
    .switchIn(MAIN, 5_000n)
    .sample(MAIN, 6_000n, userStack(0x10030n, 0x10020n, 0x10010n))
    .switchOut(MAIN, 7_000n)
    .record('LOST', { id: 11n, lost: 5n }, { ...WORKER, time: 8_000n })
    .sample(WORKER, 8_500n, userStack(0x10050n))
    .signal(WORKER, 9_000n, 11)
    .exit(WORKER, 9_500n);
}

const PROCFS: BuiltEvent = {
  name: PROCFS_EVENT_NAME,
  attr: eventAttr({
    type: EventType.software,
    config: 9n,
    sampleType: SampleType.identifier | SampleType.tid | SampleType.time | SampleType.raw,
    flags: attrFlags('sampleIdAll'),
  }),
  ids: [21n],
};

/** cpu-clock of a recorder that does not ask for switches. */
export const NO_SWITCHES: BuiltEvent = {
  ...CPU_CLOCK,
  attr: { ...CPU_CLOCK.attr, flags: attrFlags('sampleIdAll', 'task') },
};

/** What the procfs source records: states, no stacks. */
export function procfsStates(): CaptureBuilder {
  const raw = (state: string, wchan: string) => ({
    raw: encodeProcfsSample({
      state: state.charCodeAt(0),
      cpu: 0,
      onCpuNs: 1n,
      runDelayNs: 0n,
      timeslices: 1n,
      syscall: 0n,
      wchan,
    }),
  });
  return new CaptureBuilder([PROCFS])
    .sample(MAIN, 100n, raw('R', ''))
    .sample(MAIN, 200n, raw('S', 'futex_wait'))
    .sample(WORKER, 300n, raw('S', 'futex_wait'));
}

const SCHED_SWITCH: BuiltEvent = {
  name: 'sched:sched_switch',
  attr: eventAttr({
    type: EventType.tracepoint,
    config: 314n,
    sampleType: SAMPLE_TYPE | SampleType.raw,
    flags: attrFlags('sampleIdAll'),
  }),
  ids: [31n],
};

const SCHED_WAKING: BuiltEvent = {
  ...SCHED_SWITCH,
  name: 'sched:sched_waking',
  attr: { ...SCHED_SWITCH.attr, config: 315n },
  ids: [32n],
};

const FORMATS = [
  'name: sched_switch\nID: 314\nformat:\n' +
    '\tfield:pid_t prev_pid;\toffset:0;\tsize:4;\tsigned:1;\n' +
    '\tfield:long prev_state;\toffset:8;\tsize:8;\tsigned:1;\n' +
    '\tfield:pid_t next_pid;\toffset:16;\tsize:4;\tsigned:1;\n',
  'name: sched_waking\nID: 315\nformat:\n\tfield:pid_t pid;\toffset:0;\tsize:4;\tsigned:1;\n',
];

/**
 * `perf sched record`: both sides of each switch, and each waking; with other events in front of these where there
 * are any.
 */
export class SchedCapture extends CaptureBuilder {
  readonly #rawOffset: number;

  /** `rawOffset`: of the raw pids, the host's, from the ids of a pid namespace. */
  constructor(others: readonly BuiltEvent[] = [], rawOffset = 0) {
    super([...others, SCHED_SWITCH, SCHED_WAKING]);
    this.#rawOffset = rawOffset;
    const formats = FORMATS.map((text) => new TextEncoder().encode(text));
    const none = new Uint8Array(0);
    this.feature(
      Feature.tracingData,
      encodeTracingData({
        longBytes: 8,
        pageBytes: 4096,
        headerPage: none,
        headerEvent: none,
        ftraceFormats: [],
        systems: [{ name: 'sched', formats }],
        kallsyms: none,
        printkFormats: none,
        savedCmdlines: none,
      }),
    );
  }

  switched(
    time: bigint,
    cpu: number,
    prev: number,
    prevState: number,
    next: number,
    body: SampleBody = {},
    tid = prev,
  ): this {
    const raw = new Uint8Array(20);
    const view = new DataView(raw.buffer);
    view.setInt32(0, this.#raw(prev), true);
    view.setBigInt64(8, BigInt(prevState), true);
    view.setInt32(16, this.#raw(next), true);
    const task = { pid: tid === prev && prev !== 0 ? 100 : tid, tid, cpu };
    return this.sample(task, time, { raw, ...body }, SCHED_SWITCH, Misc.kernel);
  }

  #raw(tid: number): number {
    return tid === 0 ? 0 : tid + this.#rawOffset;
  }

  waking(time: bigint, by: number, woken: number): this {
    const raw = new Uint8Array(Int32Array.of(this.#raw(woken)).buffer);
    return this.sample({ pid: 100, tid: by, cpu: 0 }, time, { raw }, SCHED_WAKING, Misc.kernel);
  }
}

/** A thread's number is reused: two incarnations of one tid. */
export function recycledTid(): CaptureBuilder {
  const child = { pid: 200, tid: 200, cpu: 0 };
  return new CaptureBuilder([CPU_CLOCK])
    .comm(MAIN, 0n, 'main')
    .fork(MAIN, child, 1_000n)
    .comm(child, 1_100n, 'first', true)
    .sample(child, 1_500n, userStack(0x1n))
    .exit(child, 2_000n)
    .fork(MAIN, child, 3_000n)
    .comm(child, 3_100n, 'second', true)
    .sample(child, 3_500n, userStack(0x1n))
    .exit(child, 4_000n);
}

export const SWITCHES: BuiltEvent = {
  name: 'context-switches',
  attr: eventAttr({
    type: EventType.software,
    config: 3n,
    sampleType: SAMPLE_TYPE,
    flags: attrFlags('sampleIdAll'),
  }),
  ids: [13n],
};

/** Stacks at switches: the main thread sleeps, then wants a CPU, the worker sleeps to the end. */
export function sleepStacks(): CaptureBuilder {
  return new CaptureBuilder([CPU_CLOCK, SWITCHES])
    .comm(MAIN, 0n, 'main')
    .comm(WORKER, 0n, 'worker')
    .switchIn(MAIN, 1_000n)
    .sample(MAIN, 1_990n, userStack(0x20n), SWITCHES)
    .switchOut(MAIN, 2_000n)
    .switchIn(MAIN, 902_000n)
    .sample(MAIN, 902_500n, userStack(0x30n))
    .sample(MAIN, 903_000n, userStack(0x30n), SWITCHES)
    .switchOut(MAIN, 903_010n, true)
    .switchIn(WORKER, 904_000n)
    .sample(WORKER, 904_990n, userStack(0x40n), SWITCHES)
    .switchOut(WORKER, 905_000n)
    .switchIn(MAIN, 1_905_000n);
}

/** All of them, by name. */
export const FIXTURES: Readonly<Record<string, () => CaptureBuilder>> = {
  'two threads': twoThreads,
  'states from /proc': procfsStates,
  'switches by sched_switch': () =>
    new SchedCapture()
      .switched(100n, 0, 0, 0, 100)
      .switched(200n, 0, 100, 1, 101)
      .waking(250n, 101, 100)
      .switched(300n, 0, 101, 0, 100),
  'a number that is reused': recycledTid,
  'stacks at switches': sleepStacks,
  'no samples': () => new CaptureBuilder().switchIn(MAIN, 1n).switchOut(MAIN, 5n),
  'no records': () => new CaptureBuilder(),
  'samples without a stack': () => new CaptureBuilder().sample(MAIN, 5n).sample(MAIN, 9n),
};
