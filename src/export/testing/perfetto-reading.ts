/**
 * A Perfetto trace as a reader takes it in: decoded by protobufjs, interned data resolved on its sequence. Invariant:
 * whatever trace_processor would count as an error (an id that was not introduced, a sequence without its beginning,
 * a field that the schema does not know) is an error here.
 */
import protobuf from 'protobufjs';
import { PERFETTO_PROTO } from './perfetto-proto.ts';

const TRACE = protobuf.parse(PERFETTO_PROTO, { keepCase: true }).root.lookupType('perfetto.protos.Trace');
const CLEARED = 1;
const NEEDS_STATE = 2;

// biome-ignore lint/suspicious/noExplicitAny: a decoded message is whatever the schema says.
type Message = any;

export interface ReadSample {
  readonly timeNs: bigint;
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number | undefined;
  readonly event: string;
  /** Outermost first: function and mapping. */
  readonly stack: readonly string[];
}

export interface ReadState {
  readonly timeNs: bigint;
  readonly tid: number;
  readonly cpu: number | undefined;
  readonly state: string;
}

export interface ReadMark {
  readonly timeNs: bigint;
  /** `tid` of the thread whose track it is on; null for the track of all. */
  readonly tid: number | null;
  readonly name: string;
  readonly category: string;
}

export interface ReadSlice {
  readonly tid: number | null;
  readonly name: string;
  readonly fromNs: bigint;
  /** Null: to the end of the trace. */
  readonly toNs: bigint | null;
}

export interface PerfettoReading {
  readonly clock: string;
  readonly clocks: ReadonlyMap<number, bigint>;
  readonly threads: readonly { pid: number; tid: number; name: string; process: string }[];
  readonly samples: readonly ReadSample[];
  readonly states: readonly ReadState[];
  readonly marks: readonly ReadMark[];
  readonly slices: readonly ReadSlice[];
  /** Values of the counter tracks, by name. */
  readonly counters: ReadonlyMap<string, readonly { timeNs: bigint; value: number }[]>;
}

/** One packet sequence, as far as it was read. */
class Sequence {
  readonly event: string;
  readonly clockId: number;
  readonly interned = new Map<string, Map<string, Message>>();

  constructor(defaults: Message) {
    this.event = defaults.perf_sample_defaults?.timebase?.name ?? '';
    this.clockId = defaults.timestamp_clock_id;
  }

  intern(data: Message): void {
    for (const [field, rows] of Object.entries(data) as [string, Message[]][]) {
      const table = this.interned.get(field) ?? new Map();
      this.interned.set(field, table);
      for (const row of rows) {
        if (table.has(row.iid)) throw new Error(`${field} ${row.iid} is introduced twice`);
        table.set(row.iid, row);
      }
    }
  }

  find(field: string, iid: string): Message {
    const row = this.interned.get(field)?.get(iid);
    if (row === undefined) throw new Error(`${field} ${iid} was not introduced`);
    return row;
  }

  stack(iid: string): string[] {
    return this.find('callstacks', iid).frame_ids.map((frameId: string) => {
      const frame = this.find('frames', frameId);
      const mapping = this.find('mappings', frame.mapping_id);
      if (mapping.build_id !== undefined) this.find('build_ids', mapping.build_id);
      const path = mapping.path_string_ids.map((id: string) => textOf(this.find('mapping_paths', id)));
      return `${textOf(this.find('function_names', frame.function_name_id))} (${path.join('/')})`;
    });
  }
}

function textOf({ str }: { str: Uint8Array }): string {
  return new TextDecoder().decode(str);
}

export function readPerfetto(bytes: Uint8Array): PerfettoReading {
  refuseUnknownFields(TRACE, protobuf.Reader.create(bytes), bytes.length);
  const trace: Message = TRACE.toObject(TRACE.decode(bytes), { longs: String, enums: String });
  const reader = new TraceReader();
  for (const packet of trace.packet ?? []) reader.read(packet);
  return reader;
}

/** A decoder skips fields that it does not know: they would be lost silently. */
function refuseUnknownFields(type: protobuf.Type, reader: protobuf.Reader, end: number): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = type.fieldsById[tag >>> 3]?.resolve();
    if (field === undefined) throw new Error(`${type.name} has no field ${tag >>> 3}`);
    if (field.resolvedType instanceof protobuf.Type) {
      const length = reader.uint32();
      refuseUnknownFields(field.resolvedType, reader, reader.pos + length);
    } else reader.skipType(tag & 7);
  }
}

class TraceReader implements PerfettoReading {
  clock = '';
  readonly clocks = new Map<number, bigint>();
  readonly threads: { pid: number; tid: number; name: string; process: string }[] = [];
  readonly samples: ReadSample[] = [];
  readonly states: ReadState[] = [];
  readonly marks: ReadMark[] = [];
  readonly slices: { tid: number | null; name: string; fromNs: bigint; toNs: bigint | null }[] = [];
  readonly counters = new Map<string, { timeNs: bigint; value: number }[]>();
  readonly #sequences = new Map<number, Sequence>();
  readonly #tracks = new Map<string, Message>();
  readonly #processNames = new Map<number, string>();

  read(packet: Message): void {
    const id = packet.trusted_packet_sequence_id;
    if (packet.sequence_flags === CLEARED) this.#sequences.set(id, new Sequence(packet.trace_packet_defaults));
    const sequence = this.#sequences.get(id);
    if (sequence === undefined || (packet.sequence_flags & (CLEARED | NEEDS_STATE)) === 0)
      throw new Error(`a packet of sequence ${id} before it begins`);
    if (packet.interned_data) sequence.intern(packet.interned_data);
    const timeNs = BigInt(packet.timestamp ?? 0);
    if (packet.clock_snapshot) this.#readClocks(packet.clock_snapshot);
    else if (packet.timestamp !== undefined && !this.clocks.has(sequence.clockId))
      throw new Error(`clock ${sequence.clockId} is not known`);
    if (packet.track_descriptor) this.#readTrack(packet.track_descriptor);
    if (packet.track_event) this.#readEvent(packet.track_event, timeNs);
    if (packet.perf_sample) this.#readSample(packet.perf_sample, timeNs, sequence);
    const state = packet.generic_kernel_task_state_event;
    if (state) this.states.push({ timeNs, tid: Number(state.tid), cpu: state.cpu, state: state.state });
  }

  #readClocks(snapshot: Message): void {
    this.clock = snapshot.primary_trace_clock;
    for (const { clock_id, timestamp } of snapshot.clocks) this.clocks.set(clock_id, BigInt(timestamp));
  }

  #readTrack(track: Message): void {
    if (this.#tracks.has(track.uuid)) throw new Error(`track ${track.uuid} is described twice`);
    this.#tracks.set(track.uuid, track);
    if (track.process) this.#processNames.set(track.process.pid, track.process.process_name);
    if (track.thread) {
      const { pid, tid, thread_name: name } = track.thread;
      this.threads.push({ pid, tid, name, process: this.#processNames.get(pid) ?? '' });
    }
    if (track.counter) this.counters.set(track.name, []);
  }

  #readEvent(event: Message, timeNs: bigint): void {
    const track = this.#tracks.get(event.track_uuid);
    if (track === undefined) throw new Error(`track ${event.track_uuid} is not described`);
    if (event.type === 'TYPE_COUNTER')
      this.counters.get(track.name)!.push({ timeNs, value: Number(event.counter_value) });
    else if (event.type === 'TYPE_SLICE_END') this.#endSlice(track.thread?.tid ?? null, timeNs);
    else {
      const [tid, name] = [track.thread?.tid ?? null, event.name];
      if (event.type === 'TYPE_SLICE_BEGIN') this.slices.push({ tid, name, fromNs: timeNs, toNs: null });
      else this.marks.push({ timeNs, tid, name, category: event.categories[0] });
    }
  }

  #endSlice(tid: number | null, timeNs: bigint): void {
    const slice = this.slices.findLast((each) => each.tid === tid && each.toNs === null);
    if (slice === undefined) throw new Error(`a slice of ${tid} ends that did not begin`);
    slice.toNs = timeNs;
  }

  #readSample({ pid, tid, cpu, callstack_iid }: Message, timeNs: bigint, sequence: Sequence): void {
    const stack = callstack_iid === undefined ? [] : sequence.stack(callstack_iid);
    this.samples.push({ timeNs, pid, tid, cpu, event: sequence.event, stack });
  }
}
