/**
 * Numbers of the fields and enums of Perfetto's trace format that are written here.
 * Source: github.com/google/perfetto, protos/perfetto/trace/: trace.proto, trace_packet.proto,
 * trace_packet_defaults.proto, clock_snapshot.proto, generic_kernel/generic_task.proto,
 * interned_data/interned_data.proto, profiling/profile_common.proto, profiling/profile_packet.proto,
 * track_event/*.proto; protos/perfetto/common/: builtin_clock.proto, perf_events.proto.
 */

export const Trace = { packet: 1 } as const;

export const TracePacket = {
  clockSnapshot: 6,
  timestamp: 8,
  trustedPacketSequenceId: 10,
  trackEvent: 11,
  internedData: 12,
  sequenceFlags: 13,
  tracePacketDefaults: 59,
  trackDescriptor: 60,
  perfSample: 66,
  firstPacketOnSequence: 87,
  genericKernelTaskStateEvent: 117,
} as const;

/** TracePacket.SequenceFlags. */
export const SequenceFlag = { incrementalStateCleared: 1, needsIncrementalState: 2 } as const;

export const TracePacketDefaults = { perfSampleDefaults: 12, timestampClockId: 58 } as const;
export const PerfSampleDefaults = { timebase: 1 } as const;
/** PerfEvents.Timebase. */
export const Timebase = { period: 1, frequency: 2, name: 10 } as const;

export const ClockSnapshot = { clocks: 1, primaryTraceClock: 2 } as const;
export const Clock = { clockId: 1, timestamp: 2 } as const;
export const BuiltinClock = { realtime: 1, monotonic: 3, monotonicRaw: 5, boottime: 6 } as const;

export const TrackDescriptor = { uuid: 1, name: 2, process: 3, thread: 4, counter: 8 } as const;
export const ProcessDescriptor = { pid: 1, processName: 6, startTimestampNs: 7 } as const;
export const ThreadDescriptor = { pid: 1, tid: 2, threadName: 5 } as const;
export const CounterDescriptor = { unit: 3 } as const;
export const CounterUnit = { count: 2, sizeBytes: 3 } as const;

export const TrackEvent = {
  debugAnnotations: 4,
  type: 9,
  trackUuid: 11,
  categories: 22,
  name: 23,
  counterValue: 30,
} as const;
export const TrackEventType = { sliceBegin: 1, sliceEnd: 2, instant: 3, counter: 4 } as const;
export const DebugAnnotation = { uintValue: 3, name: 10 } as const;

export const GenericKernelTaskStateEvent = { cpu: 1, comm: 2, tid: 3, state: 4 } as const;
/** GenericKernelTaskStateEvent.TaskStateEnum. */
export const TaskState = {
  runnable: 2,
  running: 3,
  interruptibleSleep: 4,
  uninterruptibleSleep: 5,
  stopped: 6,
  dead: 7,
} as const;

export const PerfSample = { cpu: 1, pid: 2, tid: 3, callstackIid: 4, cpuMode: 5 } as const;
export const InternedData = {
  functionNames: 5,
  frames: 6,
  callstacks: 7,
  buildIds: 16,
  mappingPaths: 17,
  mappings: 19,
} as const;
export const InternedString = { iid: 1, str: 2 } as const;
/** Mapping of profile_common.proto. */
export const Mapping = { iid: 1, buildId: 2, pathStringIds: 7 } as const;
export const Frame = { iid: 1, functionNameId: 2, mappingId: 3, relPc: 4 } as const;
export const Callstack = { iid: 1, frameIds: 2 } as const;
