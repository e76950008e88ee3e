/**
 * Reads fields of a record in place, without decoding it: header, sample id, fixed fields of the body. Every offset is
 * derived from the tables of record-table.ts and sample.ts; no other file has one.
 *
 *   type u32 │ misc u16 │ size u16 │ body … │ sample id (sample_id_all; a SAMPLE has it at the start of its body)
 *
 * A record is given as 32-bit words and a word index (`…At`), or as a DataView and a byte offset (`…In`).
 *
 * Invariant: reading allocates nothing and checks no bounds; the caller has made sure that the record is whole.
 */
import { assert } from '../base/error.ts';
import { attrFlags, type EventAttr, eventAttr, hasFlag, SampleType } from './event-attr.ts';
import { fieldOffset, scalarBytes } from './layout.ts';
import {
  type BodyField,
  HEADER_BYTES,
  type NonSampleName,
  RECORD_HEADER_FIELDS,
  RECORD_TABLE,
  RecordType,
} from './record-table.ts';
import { SAMPLE_FIXED_FIELDS } from './sample.ts';

export type RecordWords = Int32Array | Uint32Array;

const TYPE_OFFSET = fieldOffset(RECORD_HEADER_FIELDS, 'type');
const MISC_OFFSET = fieldOffset(RECORD_HEADER_FIELDS, 'misc');
const SIZE_OFFSET = fieldOffset(RECORD_HEADER_FIELDS, 'size');
const TYPE_WORD = TYPE_OFFSET >> 2;
/** misc is the low half of this word, size the high one (little-endian). */
const MISC_AND_SIZE_WORD = MISC_OFFSET >> 2;

export function recordTypeAt(words: RecordWords, at: number): number {
  return words[at + TYPE_WORD]!;
}

export function recordMiscAt(words: RecordWords, at: number): number {
  return words[at + MISC_AND_SIZE_WORD]! & 0xffff;
}

/** Size of the record in bytes, header included. */
export function recordBytesAt(words: RecordWords, at: number): number {
  return words[at + MISC_AND_SIZE_WORD]! >>> 16;
}

/** Size of the record in words, header included. */
export function recordWordsAt(words: RecordWords, at: number): number {
  return words[at + MISC_AND_SIZE_WORD]! >>> 18;
}

/** The word at which the following record begins. */
export function nextRecordAt(words: RecordWords, at: number): number {
  return at + recordWordsAt(words, at);
}

export function recordTypeIn(view: DataView, offset: number): number {
  return view.getUint32(offset + TYPE_OFFSET, true);
}

export function recordMiscIn(view: DataView, offset: number): number {
  return view.getUint16(offset + MISC_OFFSET, true);
}

export function recordBytesIn(view: DataView, offset: number): number {
  return view.getUint16(offset + SIZE_OFFSET, true);
}

type FieldName<N extends NonSampleName> = (typeof RECORD_TABLE)[N]['fields'][number] extends readonly [infer F, unknown]
  ? F
  : never;

/** Bytes from the record's start to a field of its body. */
export function bodyOffset<N extends NonSampleName>(name: N, field: FieldName<N>): number {
  let offset = HEADER_BYTES;
  for (const [fieldName, kind] of RECORD_TABLE[name].fields as readonly BodyField[]) {
    if (fieldName === field) return offset;
    assert(kind !== 'cstr' && kind !== 'bytes', `the place of ${name}'s ${String(field)} is fixed`);
    offset += fixedBytes(kind);
  }
  throw new Error(`a ${name} record has no field ${String(field)}`);
}

/** Bytes of a body's fields before the one of variable size, if it has one. */
export function fixedBodyBytes(name: NonSampleName): number {
  const fields = RECORD_TABLE[name].fields as readonly BodyField[];
  return fields.reduce((sum, [, kind]) => sum + fixedBytes(kind), 0);
}

function fixedBytes(kind: BodyField[1]): number {
  if (kind === 'cstr' || kind === 'bytes') return 0;
  return kind === 'bytes24' ? 24 : scalarBytes(kind);
}

/** As `bodyOffset`, in words. */
export function bodyWord<N extends NonSampleName>(name: N, field: FieldName<N>): number {
  return bodyOffset(name, field) >> 2;
}

/** The pid that a side-band record's body begins with; 0 of a LOST, which has none. */
export function bodyPidIn(view: DataView, offset: number): number {
  return recordTypeIn(view, offset) === RecordType.LOST ? 0 : view.getUint32(offset + BODY_PID_OFFSET, true);
}

const BODY_PID_OFFSET = bodyOffset('COMM', 'pid');

/** The fields of the sample-id trailer, in the kernel's order (struct sample_id). */
export const TRAILER = [
  ['tid', SampleType.tid],
  ['time', SampleType.time],
  ['id', SampleType.id],
  ['streamId', SampleType.streamId],
  ['cpu', SampleType.cpu],
  ['identifier', SampleType.identifier],
] as const;

/** Bytes of the trailer that `attr` puts behind every record but SAMPLE. */
export function trailerBytes(attr: EventAttr): number {
  if (!hasFlag(attr, 'sampleIdAll')) return 0;
  return TRAILER.reduce((sum, [, bit]) => sum + (attr.sampleType & bit ? 8 : 0), 0);
}

/**
 * Byte offsets of the sample id's fields: from the start of a SAMPLE, and from the END of any other record (to be
 * subtracted). −1 where the attr does not record the field.
 */
export interface RecordGeometry {
  readonly trailer: number;
  readonly sample: {
    readonly pid: number;
    readonly tid: number;
    readonly time: number;
    readonly cpu: number;
    readonly id: number;
  };
  readonly fromEnd: {
    readonly pid: number;
    readonly tid: number;
    readonly time: number;
    readonly cpu: number;
    readonly id: number;
  };
}

export function recordGeometry(attr: EventAttr): RecordGeometry {
  const has = (bit: bigint) => (attr.sampleType & bit) !== 0n;
  const sample = { pid: -1, tid: -1, time: -1, cpu: -1, id: -1 };
  let at = HEADER_BYTES;
  for (const field of SAMPLE_FIXED_FIELDS) {
    if (!has(SampleType[field])) continue;
    if (field === 'tid') {
      sample.pid = at;
      sample.tid = at + 4;
    } else if (field === 'identifier') sample.id = at;
    else if (field === 'id') sample.id = sample.id < 0 ? at : sample.id;
    else if (field === 'time' || field === 'cpu') sample[field] = at;
    at += 8;
  }

  const trailer = trailerBytes(attr);
  const fromEnd = { pid: -1, tid: -1, time: -1, cpu: -1, id: -1 };
  let left = trailer;
  for (const [name, bit] of trailer === 0 ? [] : TRAILER) {
    if (!has(bit)) continue;
    if (name === 'tid') {
      fromEnd.pid = left;
      fromEnd.tid = left - 4;
    } else if (name === 'identifier') fromEnd.id = left;
    else if (name === 'time' || name === 'cpu' || name === 'id') fromEnd[name] = left;
    left -= 8;
  }
  return { trailer, sample, fromEnd };
}

/** A field of the sample id. */
export type IdField = keyof RecordGeometry['sample'];

/** Bytes from the record's start to a field of its sample id; −1 where the attr does not record it. */
export function idFieldOffset(geometry: RecordGeometry, field: IdField, type: number, size: number): number {
  if (type === RecordType.SAMPLE) return geometry.sample[field];
  const fromEnd = geometry.fromEnd[field];
  return fromEnd < 0 ? -1 : size - fromEnd;
}

// PERF_SAMPLE_IDENTIFIER has fixed places, whatever else is recorded: the first in a SAMPLE, the last in a trailer.
const IDENTIFIER = recordGeometry(eventAttr({ sampleType: SampleType.identifier, flags: attrFlags('sampleIdAll') }));
const IDENTIFIER_WORD = IDENTIFIER.sample.id >> 2;
const IDENTIFIER_WORDS_FROM_END = IDENTIFIER.fromEnd.id >> 2;

/** Words from the record's start to its PERF_SAMPLE_IDENTIFIER, the low word. */
export function identifierWord(type: number, recordWords: number): number {
  return type === RecordType.SAMPLE ? IDENTIFIER_WORD : recordWords - IDENTIFIER_WORDS_FROM_END;
}

/** The low word of the record's PERF_SAMPLE_IDENTIFIER. */
export function identifierLowAt(words: RecordWords, at: number): number {
  return words[at + identifierWord(recordTypeAt(words, at), recordWordsAt(words, at))]!;
}

/** Reads the sample ids of records of one geometry, which has tid and time, as that of every source. */
export class RecordView {
  /** Bytes of the trailer of every record but SAMPLE. */
  readonly trailerBytes: number;
  readonly #samplePid: number;
  readonly #sampleTid: number;
  readonly #sampleTime: number;
  readonly #pidFromEnd: number;
  readonly #tidFromEnd: number;
  readonly #timeFromEnd: number;

  constructor({ trailer, sample, fromEnd }: RecordGeometry) {
    for (const field of ['tid', 'time'] as const) {
      assert(sample[field] >= 0 && fromEnd[field] >= 0, `records carry their ${field}`);
    }
    this.trailerBytes = trailer;
    this.#samplePid = sample.pid >> 2;
    this.#sampleTid = sample.tid >> 2;
    this.#sampleTime = sample.time >> 2;
    this.#pidFromEnd = fromEnd.pid >> 2;
    this.#tidFromEnd = fromEnd.tid >> 2;
    this.#timeFromEnd = fromEnd.time >> 2;
  }

  pidAt(words: RecordWords, at: number): number {
    return words[
      recordTypeAt(words, at) === RecordType.SAMPLE ? at + this.#samplePid : nextRecordAt(words, at) - this.#pidFromEnd
    ]!;
  }

  tidAt(words: RecordWords, at: number): number {
    return words[
      recordTypeAt(words, at) === RecordType.SAMPLE ? at + this.#sampleTid : nextRecordAt(words, at) - this.#tidFromEnd
    ]!;
  }

  /** The word index of the record's time: the low word, the high one follows. */
  timeWordAt(words: RecordWords, at: number): number {
    return recordTypeAt(words, at) === RecordType.SAMPLE
      ? at + this.#sampleTime
      : nextRecordAt(words, at) - this.#timeFromEnd;
  }

  /** Nanoseconds on the attr's clock; exact up to 2^53 (104 days of uptime), then to 2 ns. */
  timeNsAt(words: RecordWords, at: number): number {
    const word = this.timeWordAt(words, at);
    return (words[word + 1]! >>> 0) * 2 ** 32 + (words[word]! >>> 0);
  }

  /** Words from the start of a record (not a SAMPLE) of `recordWords` words to its tid. */
  tidWord(recordWords: number): number {
    return recordWords - this.#tidFromEnd;
  }

  /** As `tidWord`, to the low word of its time. */
  timeWord(recordWords: number): number {
    return recordWords - this.#timeFromEnd;
  }
}
