/**
 * A Perfetto trace (perfetto.dev/docs/reference/trace-packet-proto), packet by packet in one pass:
 *
 *  1. The clock of the capture, which is the trace's clock, and the wall clock at the same moment.
 *  2. A thread's track (and its process's) at the thread's first record; of threads without a timed record, at the end.
 *  3. Changes of state, as events of a generic kernel: Perfetto's stable input for a scheduler that is not ftrace. It
 *     derives slices on CPUs and the states of threads.
 *  4. Samples, one packet sequence an event, with its stacks interned on the sequence when they are first needed.
 *  5. The bytes that the recorder had pinned, and their bound, as counters, where a snapshot has them.
 *  6. Losses: a mark on the thread's track, and a counter of all so far. The death and exits are marks as well.
 *
 * Invariant: a packet refers only to earlier packets of its sequence, and every sample is there.
 */
import { ClockId, hasFlag } from '../abi/event-attr.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import { deathFromSignals } from '../perf-data/death.ts';
import type { CaptureEvent } from '../perf-data/event-table.ts';
import type { SelectedPart } from '../perf-data/selection.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import type { SchedState } from '../schedule/change-table.ts';
import { type ExportOptions, exportedPart, recordIndices } from './exporter.ts';
import { lossText, lostAt } from './losses.ts';
import {
  BuiltinClock,
  Clock,
  ClockSnapshot,
  CounterDescriptor,
  CounterUnit,
  DebugAnnotation,
  GenericKernelTaskStateEvent,
  PerfSample,
  PerfSampleDefaults,
  ProcessDescriptor,
  SequenceFlag,
  TaskState,
  ThreadDescriptor,
  Timebase,
  Trace,
  TracePacket,
  TracePacketDefaults,
  TrackDescriptor,
  TrackEvent,
  TrackEventType,
} from './perfetto-schema.ts';
import { StackInterning } from './perfetto-stacks.ts';
import { ProtoWriter } from './proto-writer.ts';
import { type Sample, SampleReader } from './sample-reader.ts';
import { SelectedSchedule, type ThreadChange } from './selected-schedule.ts';
import { NO_STACK } from './stack-table.ts';
import { processName, threadName } from './thread-labels.ts';

const CHUNK_BYTES = 1 << 18;

export function* exportPerfetto(capture: Capture, options: ExportOptions): Generator<Uint8Array> {
  const out = new ProtoWriter();
  const trace = new TraceBuilder(capture, options, out);
  trace.begin();
  for (const index of recordIndices(capture, options)) {
    trace.read(index);
    if (out.length >= CHUNK_BYTES) yield out.take();
  }
  trace.finish();
  yield out.take();
}

/** Packet sequences: one for all but samples; then one for each event's samples. */
const MAIN_SEQUENCE = 1;
const FIRST_SAMPLE_SEQUENCE = 2;

/** Tracks: losses without a thread, counters, then two numbers for each process and thread. */
const LOSS_TRACK = 1;
const LOST_COUNTER = 2;
const PINNED_COUNTER = 3;
const BOUND_COUNTER = 4;
const FIRST_TASK_TRACK = 16;

const STATES: Readonly<Record<SchedState, number>> = {
  running: TaskState.running,
  runnable: TaskState.runnable,
  sleeping: TaskState.interruptibleSleep,
  blocked: TaskState.uninterruptibleSleep,
  // trace_processor drops TASK_STATE_UNKNOWN, so that the state before would last (generic_kernel_parser.cc). A
  // stopped thread is neither on a CPU nor asleep nor waiting for one, and no other state is written so; a slice on
  // its track says `unknown`.
  unknown: TaskState.stopped,
  exited: TaskState.dead,
};

class TraceBuilder {
  readonly #capture: Capture;
  readonly #out: ProtoWriter;
  readonly #part: SelectedPart;
  readonly #samples: SampleReader;
  readonly #schedule: SelectedSchedule;
  readonly #clock: number;
  /** By thread, by process: whether it has been described. */
  readonly #hasTrack = new Set<ThreadEntry>();
  readonly #hasProcessTrack = new Set<number>();
  /** By thread: the name that was written last. */
  readonly #comm = new Map<ThreadEntry, string>();
  /** Threads whose state is unknown: a slice of it is open. */
  readonly #unknown = new Set<ThreadEntry>();
  /** By event, once it has a sample. */
  readonly #interning: (StackInterning | undefined)[] = [];
  #lost = 0;

  constructor(capture: Capture, options: ExportOptions, out: ProtoWriter) {
    this.#capture = capture;
    this.#part = exportedPart(capture, options);
    this.#out = out;
    this.#clock = clockOf(capture);
    this.#samples = new SampleReader(capture, options.names);
    this.#schedule = new SelectedSchedule(capture, this.#part, this.#samples, (change) => this.#enter(change));
  }

  begin(): void {
    const out = this.#out;
    this.#beginPacket(MAIN_SEQUENCE, SequenceFlag.incrementalStateCleared);
    this.#firstOnSequence();
    out.begin(TracePacket.clockSnapshot);
    const { clockData } = this.#capture.features;
    this.#clockReading(this.#clock, clockData?.clockNs ?? this.#capture.firstNs ?? 0n);
    if (clockData && this.#clock !== BuiltinClock.realtime) this.#clockReading(BuiltinClock.realtime, clockData.wallNs);
    out.uint(ClockSnapshot.primaryTraceClock, this.#clock);
    out.end();
    this.#endPacket();
    this.#describeTrack(LOSS_TRACK, () => out.string(TrackDescriptor.name, 'Losses without a thread'));
    this.#describeCounter(LOST_COUNTER, 'Records lost', CounterUnit.count);
    this.#count(LOST_COUNTER, this.#part.originNs, 0);
    this.#addPinned();
  }

  #describeCounter(track: number, name: string, unit: number): void {
    this.#describeTrack(track, () => {
      this.#out.string(TrackDescriptor.name, name);
      this.#out.begin(TrackDescriptor.counter);
      this.#out.uint(CounterDescriptor.unit, unit);
      this.#out.end();
    });
  }

  /** The bytes pinned when the time exported begins, and each change since. */
  #addPinned(): void {
    const pinned = this.#capture.section?.pinned;
    if (!pinned) return;
    const { originNs } = this.#part;
    this.#describeCounter(PINNED_COUNTER, 'Bytes pinned', CounterUnit.sizeBytes);
    this.#describeCounter(BOUND_COUNTER, 'Bytes pinned, at most', CounterUnit.sizeBytes);
    const points = pinned.points.map(({ timeNs, bytes }) => ({ timeNs: BigInt(timeNs), bytes }));
    const before = points.findLast(({ timeNs }) => timeNs <= originNs);
    if (before) this.#count(PINNED_COUNTER, originNs, before.bytes);
    for (const { timeNs, bytes } of points) if (timeNs > originNs) this.#count(PINNED_COUNTER, timeNs, bytes);
    const last = points.at(-1);
    this.#count(BOUND_COUNTER, originNs, pinned.boundBytes);
    if (last && last.timeNs > originNs) this.#count(BOUND_COUNTER, last.timeNs, pinned.boundBytes);
  }

  read(index: number): void {
    const type = this.#capture.typeAt(index);
    const timeNs = this.#capture.timeAt(index);
    const thread = this.#capture.threadAt(index);
    const isLoss = type === RecordType.LOST || type === RecordType.LOST_SAMPLES;
    const isSelected = this.#part.hasRecord(index, isLoss);
    if (thread && timeNs > 0n && isSelected) this.#describe(thread);
    const sample = this.#schedule.read(index);
    if (!isSelected) return;
    if (sample) this.#addSample(sample, this.#capture.cpuAt(index));
    else if (isLoss) this.#addLoss(lostAt(this.#capture, index), thread, timeNs);
    else if (type === RecordType.EXIT && thread && timeNs > 0n) this.#mark(thread, timeNs, 'exit', 'task');
  }

  finish(): void {
    this.#schedule.finish();
    for (const thread of this.#part.threads) this.#describe(thread);
    const { section, lastNs } = this.#capture;
    const death = section ? section.death : deathFromSignals(this.#capture);
    const victim = this.#part.threads.findLast(({ tid, process }) => tid === death?.tid && process.pid === death.pid);
    const deathNs = death?.timeNs == null ? (victim?.exitNs ?? lastNs) : BigInt(death.timeNs);
    if (death && victim && deathNs !== null) this.#mark(victim, deathNs, death.signal, 'death');
    if (section && section.kernelLost > 0) this.#addLoss(section.kernelLost, undefined, BigInt(section.cutNs));
  }

  #addLoss(lost: number, thread: ThreadEntry | undefined, timeNs: bigint): void {
    this.#lost += lost;
    this.#mark(thread, timeNs, lossText(lost), 'loss', lost);
    this.#count(LOST_COUNTER, timeNs, this.#lost);
  }

  /** A change of state; the name only where it is another than was written last. */
  #enter({ thread, timeNs, state, cpu }: ThreadChange): void {
    const out = this.#out;
    this.#describe(thread);
    this.#beginPacket(MAIN_SEQUENCE, SequenceFlag.needsIncrementalState, timeNs);
    out.begin(TracePacket.genericKernelTaskStateEvent);
    if (cpu !== null) out.uint(GenericKernelTaskStateEvent.cpu, cpu);
    const comm = threadName(thread, timeNs);
    if (this.#comm.get(thread) !== comm) out.string(GenericKernelTaskStateEvent.comm, comm);
    this.#comm.set(thread, comm);
    out.uint(GenericKernelTaskStateEvent.tid, thread.tid);
    out.uint(GenericKernelTaskStateEvent.state, STATES[state]);
    out.end();
    this.#endPacket();
    this.#sliceUnknown(thread, timeNs, state === 'unknown');
  }

  /** Begins or ends the slice of a time in which the thread's state is not known. */
  #sliceUnknown(thread: ThreadEntry, timeNs: bigint, isUnknown: boolean): void {
    if (isUnknown === this.#unknown.has(thread)) return;
    if (isUnknown) this.#unknown.add(thread);
    else this.#unknown.delete(thread);
    const out = this.#out;
    this.#beginPacket(MAIN_SEQUENCE, SequenceFlag.needsIncrementalState, timeNs);
    out.begin(TracePacket.trackEvent);
    out.uint(TrackEvent.type, isUnknown ? TrackEventType.sliceBegin : TrackEventType.sliceEnd);
    out.uint(TrackEvent.trackUuid, threadTrack(thread));
    if (isUnknown) {
      out.string(TrackEvent.categories, 'schedule');
      out.string(TrackEvent.name, 'unknown: records were lost');
    }
    out.end();
    this.#endPacket();
  }

  #addSample({ event, thread, timeNs, stack, misc }: Sample, cpu: number | null): void {
    const out = this.#out;
    let interning = this.#interning[event.index];
    if (interning === undefined) {
      interning = new StackInterning(this.#capture, this.#samples.stacks);
      this.#interning[event.index] = interning;
      this.#beginSampleSequence(event);
    }
    this.#beginPacket(FIRST_SAMPLE_SEQUENCE + event.index, SequenceFlag.needsIncrementalState, timeNs);
    if (stack !== NO_STACK) interning.write(out, stack);
    out.begin(TracePacket.perfSample);
    if (cpu !== null) out.uint(PerfSample.cpu, cpu);
    out.uint(PerfSample.pid, thread?.process.pid ?? 0);
    out.uint(PerfSample.tid, thread?.tid ?? 0);
    if (stack !== NO_STACK) out.uint(PerfSample.callstackIid, stack + 1);
    // Profiling.CpuMode has the numbers of the records' own modes.
    out.uint(PerfSample.cpuMode, misc & Misc.cpumodeMask);
    out.end();
    this.#endPacket();
  }

  #beginSampleSequence(event: CaptureEvent): void {
    const { attr, name } = event;
    this.#beginPacket(FIRST_SAMPLE_SEQUENCE + event.index, SequenceFlag.incrementalStateCleared);
    this.#firstOnSequence(() => {
      this.#out.begin(TracePacketDefaults.perfSampleDefaults);
      this.#out.begin(PerfSampleDefaults.timebase);
      this.#out.uint(hasFlag(attr, 'freq') ? Timebase.frequency : Timebase.period, attr.samplePeriodOrFreq);
      this.#out.string(Timebase.name, name);
      this.#out.end();
      this.#out.end();
    });
    this.#endPacket();
  }

  #describe(thread: ThreadEntry): void {
    if (this.#hasTrack.has(thread)) return;
    this.#hasTrack.add(thread);
    const out = this.#out;
    const { process, tid } = thread;
    if (!this.#hasProcessTrack.has(process.index)) {
      this.#hasProcessTrack.add(process.index);
      this.#describeTrack(FIRST_TASK_TRACK + 2 * process.index, () => {
        out.begin(TrackDescriptor.process);
        out.uint(ProcessDescriptor.pid, process.pid);
        out.string(ProcessDescriptor.processName, processName(thread));
        if (process.startNs !== null) out.uint(ProcessDescriptor.startTimestampNs, process.startNs);
        out.end();
      });
    }
    this.#describeTrack(threadTrack(thread), () => {
      out.begin(TrackDescriptor.thread);
      out.uint(ThreadDescriptor.pid, process.pid);
      out.uint(ThreadDescriptor.tid, tid);
      out.string(ThreadDescriptor.threadName, threadName(thread));
      out.end();
    });
  }

  #describeTrack(uuid: number, write: () => void): void {
    this.#beginPacket(MAIN_SEQUENCE, SequenceFlag.needsIncrementalState);
    this.#out.begin(TracePacket.trackDescriptor);
    this.#out.uint(TrackDescriptor.uuid, uuid);
    write();
    this.#out.end();
    this.#endPacket();
  }

  /** An instant on the thread's track. */
  #mark(thread: ThreadEntry | undefined, timeNs: bigint, name: string, category: string, lost?: number): void {
    const out = this.#out;
    if (thread) this.#describe(thread);
    this.#beginPacket(MAIN_SEQUENCE, SequenceFlag.needsIncrementalState, timeNs);
    out.begin(TracePacket.trackEvent);
    out.uint(TrackEvent.type, TrackEventType.instant);
    out.uint(TrackEvent.trackUuid, thread ? threadTrack(thread) : LOSS_TRACK);
    out.string(TrackEvent.categories, category);
    out.string(TrackEvent.name, name);
    if (lost !== undefined) {
      out.begin(TrackEvent.debugAnnotations);
      out.string(DebugAnnotation.name, 'lost');
      out.uint(DebugAnnotation.uintValue, lost);
      out.end();
    }
    out.end();
    this.#endPacket();
  }

  #count(track: number, timeNs: bigint, value: number): void {
    const out = this.#out;
    this.#beginPacket(MAIN_SEQUENCE, SequenceFlag.needsIncrementalState, timeNs);
    out.begin(TracePacket.trackEvent);
    out.uint(TrackEvent.type, TrackEventType.counter);
    out.uint(TrackEvent.trackUuid, track);
    out.uint(TrackEvent.counterValue, value);
    out.end();
    this.#endPacket();
  }

  #beginPacket(sequence: number, flags: number, timeNs?: bigint): void {
    this.#out.begin(Trace.packet);
    if (timeNs !== undefined) this.#out.uint(TracePacket.timestamp, timeNs);
    this.#out.uint(TracePacket.trustedPacketSequenceId, sequence);
    this.#out.uint(TracePacket.sequenceFlags, flags);
  }

  #endPacket(): void {
    this.#out.end();
  }

  /** The clock of all packets of the sequence, and its other defaults. */
  #firstOnSequence(defaults: () => void = () => {}): void {
    this.#out.uint(TracePacket.firstPacketOnSequence, 1);
    this.#out.begin(TracePacket.tracePacketDefaults);
    this.#out.uint(TracePacketDefaults.timestampClockId, this.#clock);
    defaults();
    this.#out.end();
  }

  #clockReading(clock: number, timeNs: bigint): void {
    this.#out.begin(ClockSnapshot.clocks);
    this.#out.uint(Clock.clockId, clock);
    this.#out.uint(Clock.timestamp, timeNs);
    this.#out.end();
  }
}

function threadTrack(thread: ThreadEntry): number {
  return FIRST_TASK_TRACK + 2 * thread.index + 1;
}

/** perf's default clock runs like CLOCK_MONOTONIC. */
function clockOf({ events, features }: Capture): number {
  const attr = events.find((event) => hasFlag(event.attr, 'useClockid'))?.attr;
  const clockid = attr?.clockid ?? features.clockData?.clockid;
  if (clockid === ClockId.realtime) return BuiltinClock.realtime;
  if (clockid === ClockId.monotonicRaw) return BuiltinClock.monotonicRaw;
  return clockid === ClockId.boottime ? BuiltinClock.boottime : BuiltinClock.monotonic;
}
