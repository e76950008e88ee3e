/**
 * Assembles captures for tests from the tables of abi: a perf.data file with the events, records and features asked
 * for.
 *
 * Invariant: the result is undamaged; tests damage it themselves.
 */
import { attrFlags, type EventAttr, EventType, encodeAttr, eventAttr, SampleType } from '../../abi/event-attr.ts';
import { encodeStruct } from '../../abi/layout.ts';
import {
  Feature,
  FILE_HEADER_BYTES,
  FILE_HEADER_FIELDS,
  PERF_DATA_MAGIC,
  SECTION_BYTES,
  SECTION_FIELDS,
} from '../../abi/perf-data.ts';
import { encodeRecord } from '../../abi/record.ts';
import { Misc, type NonSampleName, type RecordBody } from '../../abi/record-table.ts';
import { encodeRingkeepSection, RINGKEEP_FEATURE, type RingkeepSection } from '../../abi/ringkeep-section.ts';
import { encodeSample, type SampleBody, type SampleId } from '../../abi/sample.ts';
import { concat, encodeEventDesc } from '../feature-sections.ts';
import { encodeFeatures, featureWords } from '../feature-table.ts';

/** An event of the capture. */
export interface BuiltEvent {
  name: string;
  attr: EventAttr;
  ids: bigint[];
}

/** The fields that a recorder of switches requests: identifier, task, time, CPU, callchain. */
export const SAMPLE_TYPE =
  SampleType.identifier | SampleType.ip | SampleType.tid | SampleType.time | SampleType.cpu | SampleType.callchain;

/** cpu-clock with switches, tasks and names. */
export const CPU_CLOCK: BuiltEvent = {
  name: 'cpu-clock',
  attr: eventAttr({
    type: EventType.software,
    config: 0n,
    sampleType: SAMPLE_TYPE,
    flags: attrFlags('sampleIdAll', 'contextSwitch', 'task', 'comm', 'mmap2'),
  }),
  ids: [11n],
};

/** signal:signal_deliver with its raw payload. */
export const SIGNAL_DELIVER: BuiltEvent = {
  name: 'signal:signal_deliver',
  attr: eventAttr({
    type: EventType.tracepoint,
    config: 77n,
    sampleType: SAMPLE_TYPE | SampleType.raw,
    flags: attrFlags('sampleIdAll'),
  }),
  ids: [12n],
};

type Task = { pid: number; tid: number; cpu?: number };

export class CaptureBuilder {
  readonly events: readonly BuiltEvent[];
  readonly records: Uint8Array[] = [];
  readonly #features = new Map<number, Uint8Array>();

  constructor(events: readonly BuiltEvent[] = [CPU_CLOCK, SIGNAL_DELIVER]) {
    this.events = events;
    this.feature(Feature.eventDesc, encodeEventDesc(events));
  }

  record<N extends NonSampleName>(name: N, body: Partial<RecordBody<N>>, id: SampleId, misc = 0): this {
    const event = this.events[0]!;
    this.records.push(encodeRecord(name, body, { id: event.ids[0] ?? 0n, ...id }, event.attr, misc));
    return this;
  }

  sample(task: Task, time: bigint, body: SampleBody = {}, event = this.events[0]!, misc: number = Misc.user): this {
    this.records.push(encodeSample({ cpu: 0, ...task, time, id: event.ids[0] ?? 0n }, body, event.attr, misc));
    return this;
  }

  switchIn(task: Task, time: bigint): this {
    return this.record('SWITCH', {}, { cpu: 0, ...task, time });
  }

  switchOut(task: Task, time: bigint, isPreempted = false): this {
    const misc = Misc.switchOut | (isPreempted ? Misc.switchOutPreempt : 0);
    return this.record('SWITCH', {}, { cpu: 0, ...task, time }, misc);
  }

  comm(task: Task, time: bigint, comm: string, exec = false): this {
    return this.record('COMM', { ...ids(task), comm }, { ...task, time }, exec ? Misc.commExec : 0);
  }

  fork(parent: Task, child: Task, time: bigint): this {
    const body = { pid: child.pid, tid: child.tid, ppid: parent.pid, ptid: parent.tid, time };
    return this.record('FORK', body, { ...parent, time });
  }

  exit(task: Task, time: bigint): this {
    return this.record('EXIT', { ...ids(task), ppid: 1, ptid: 1, time }, { ...task, time });
  }

  mmap(task: Task, time: bigint, addr: bigint, len: bigint, pgoff: bigint, filename: string): this {
    return this.record('MMAP2', { ...ids(task), addr, len, pgoff, prot: 5, filename }, { ...task, time }, Misc.user);
  }

  signal(task: Task, time: bigint, signal: number, handler = 0n): this {
    const raw = new Uint8Array(44);
    const view = new DataView(raw.buffer);
    view.setInt32(8, signal, true);
    view.setBigUint64(24, handler, true);
    return this.sample(task, time, { raw }, SIGNAL_DELIVER, Misc.kernel);
  }

  feature(feature: number, bytes: Uint8Array): this {
    this.#features.set(feature, bytes);
    return this;
  }

  section(section: Partial<RingkeepSection>): this {
    const whole: RingkeepSection = {
      version: 1,
      source: 'perf',
      reason: 'death',
      cutNs: '0',
      death: null,
      degraded: [],
      rings: [],
      kernelLost: 0,
      ...section,
    };
    return this.feature(RINGKEEP_FEATURE, encodeRingkeepSection(whole));
  }

  /** header │ ids │ attrs │ records │ feature table │ features. `attrBytes`: the version of the attr to write. */
  build(attrBytes = 128): Uint8Array<ArrayBuffer> {
    const ids = this.events.map((event) => BigUint64Array.from(event.ids));
    let at = FILE_HEADER_BYTES;
    const idSections = ids.map((each) => {
      const section = { offset: at, size: each.byteLength };
      at += each.byteLength;
      return section;
    });
    const attrsOffset = at;
    const attrs = this.events.map(({ attr }, index) => {
      const bytes = new Uint8Array(attrBytes + SECTION_BYTES);
      bytes.set(encodeAttr({ ...attr, size: attrBytes }).subarray(0, attrBytes));
      encodeStruct(SECTION_FIELDS, idSections[index]!, new DataView(bytes.buffer), attrBytes);
      return bytes;
    });
    const dataOffset = attrsOffset + attrs.length * (attrBytes + SECTION_BYTES);
    const data = concat(this.records);
    const header = new Uint8Array(FILE_HEADER_BYTES);
    const bits = [...this.#features.keys()].sort((a, b) => a - b);
    const fields = {
      magic: PERF_DATA_MAGIC,
      size: FILE_HEADER_BYTES,
      attrSize: attrBytes + SECTION_BYTES,
      attrsOffset,
      attrsSize: attrs.length * (attrBytes + SECTION_BYTES),
      dataOffset,
      dataSize: data.length,
      ...featureWords(bits),
    };
    encodeStruct(FILE_HEADER_FIELDS, fields, new DataView(header.buffer), 0);
    const features = encodeFeatures(this.#features, dataOffset + data.length);
    return concat([header, ...ids.map((each) => new Uint8Array(each.buffer)), ...attrs, data, ...features]);
  }
}

function ids({ pid, tid }: Task): { pid: number; tid: number } {
  return { pid, tid };
}
