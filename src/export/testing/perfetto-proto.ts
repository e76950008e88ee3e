/**
 * The part of Perfetto's schema that its readers need of an export, written down from the published .proto files
 * (github.com/google/perfetto, protos/perfetto/), apart from the numbers that the exporter writes by. Invariant: it
 * is Perfetto's: a field that is not in there has no place in a trace.
 */
export const PERFETTO_PROTO = `
syntax = "proto2";
package perfetto.protos;

message Trace { repeated TracePacket packet = 1; }

message TracePacket {
  optional ClockSnapshot clock_snapshot = 6;
  optional uint64 timestamp = 8;
  optional uint32 trusted_packet_sequence_id = 10;
  optional TrackEvent track_event = 11;
  optional InternedData interned_data = 12;
  optional uint32 sequence_flags = 13;
  optional uint32 timestamp_clock_id = 58;
  optional TracePacketDefaults trace_packet_defaults = 59;
  optional TrackDescriptor track_descriptor = 60;
  optional PerfSample perf_sample = 66;
  optional bool first_packet_on_sequence = 87;
  optional GenericKernelTaskStateEvent generic_kernel_task_state_event = 117;
}

enum BuiltinClock {
  BUILTIN_CLOCK_UNKNOWN = 0;
  BUILTIN_CLOCK_REALTIME = 1;
  BUILTIN_CLOCK_REALTIME_COARSE = 2;
  BUILTIN_CLOCK_MONOTONIC = 3;
  BUILTIN_CLOCK_MONOTONIC_COARSE = 4;
  BUILTIN_CLOCK_MONOTONIC_RAW = 5;
  BUILTIN_CLOCK_BOOTTIME = 6;
}

message ClockSnapshot {
  message Clock {
    optional uint32 clock_id = 1;
    optional uint64 timestamp = 2;
    optional bool is_incremental = 3;
    optional uint64 unit_multiplier_ns = 4;
  }
  repeated Clock clocks = 1;
  optional BuiltinClock primary_trace_clock = 2;
}

message TracePacketDefaults {
  optional PerfSampleDefaults perf_sample_defaults = 12;
  optional uint32 timestamp_clock_id = 58;
}

message PerfSampleDefaults { optional Timebase timebase = 1; }

message Timebase {
  oneof interval {
    uint64 period = 1;
    uint64 frequency = 2;
  }
  optional string name = 10;
}

message TrackDescriptor {
  optional uint64 uuid = 1;
  optional string name = 2;
  optional ProcessDescriptor process = 3;
  optional ThreadDescriptor thread = 4;
  optional uint64 parent_uuid = 5;
  optional CounterDescriptor counter = 8;
}

message ProcessDescriptor {
  optional int32 pid = 1;
  repeated string cmdline = 2;
  optional string process_name = 6;
  optional int64 start_timestamp_ns = 7;
}

message ThreadDescriptor {
  optional int32 pid = 1;
  optional int32 tid = 2;
  optional string thread_name = 5;
}

message CounterDescriptor {
  enum Unit {
    UNIT_UNSPECIFIED = 0;
    UNIT_TIME_NS = 1;
    UNIT_COUNT = 2;
    UNIT_SIZE_BYTES = 3;
  }
  optional Unit unit = 3;
}

message TrackEvent {
  enum Type {
    TYPE_UNSPECIFIED = 0;
    TYPE_SLICE_BEGIN = 1;
    TYPE_SLICE_END = 2;
    TYPE_INSTANT = 3;
    TYPE_COUNTER = 4;
  }
  repeated DebugAnnotation debug_annotations = 4;
  optional Type type = 9;
  optional uint64 track_uuid = 11;
  repeated string categories = 22;
  optional string name = 23;
  optional int64 counter_value = 30;
}

message DebugAnnotation {
  optional uint64 uint_value = 3;
  optional string name = 10;
}

message GenericKernelTaskStateEvent {
  enum TaskStateEnum {
    TASK_STATE_UNKNOWN = 0;
    TASK_STATE_CREATED = 1;
    TASK_STATE_RUNNABLE = 2;
    TASK_STATE_RUNNING = 3;
    TASK_STATE_INTERRUPTIBLE_SLEEP = 4;
    TASK_STATE_UNINTERRUPTIBLE_SLEEP = 5;
    TASK_STATE_STOPPED = 6;
    TASK_STATE_DEAD = 7;
    TASK_STATE_DESTROYED = 8;
  }
  optional int32 cpu = 1;
  optional string comm = 2;
  optional int64 tid = 3;
  optional TaskStateEnum state = 4;
  optional int32 prio = 5;
}

message Profiling {
  enum CpuMode {
    MODE_UNKNOWN = 0;
    MODE_KERNEL = 1;
    MODE_USER = 2;
    MODE_HYPERVISOR = 3;
    MODE_GUEST_KERNEL = 4;
    MODE_GUEST_USER = 5;
  }
}

message PerfSample {
  optional uint32 cpu = 1;
  optional uint32 pid = 2;
  optional uint32 tid = 3;
  optional uint64 callstack_iid = 4;
  optional Profiling.CpuMode cpu_mode = 5;
}

message InternedData {
  repeated InternedString function_names = 5;
  repeated Frame frames = 6;
  repeated Callstack callstacks = 7;
  repeated InternedString build_ids = 16;
  repeated InternedString mapping_paths = 17;
  repeated Mapping mappings = 19;
}

message InternedString {
  optional uint64 iid = 1;
  optional bytes str = 2;
}

message Mapping {
  optional uint64 iid = 1;
  optional uint64 build_id = 2;
  optional uint64 start_offset = 3;
  optional uint64 start = 4;
  optional uint64 end = 5;
  optional uint64 load_bias = 6;
  repeated uint64 path_string_ids = 7;
  optional uint64 exact_offset = 8;
}

message Frame {
  optional uint64 iid = 1;
  optional uint64 function_name_id = 2;
  optional uint64 mapping_id = 3;
  optional uint64 rel_pc = 4;
}

message Callstack {
  optional uint64 iid = 1;
  repeated uint64 frame_ids = 2;
}
`;
