/**
 * Walks a chunk of concatenated records in place, over 32-bit words, and finds the time of each.
 *
 * Invariant: a visited record lies whole in the chunk and is long enough for its own time; the callchain and the raw
 * data of a SAMPLE end inside it. perf rejects a whole file for one sample that violates this, so the walk stops at the
 * first damaged record and counts the rest as left out.
 */
import { type EventAttr, ReadFormat, SampleType } from '../abi/event-attr.ts';
import { HEADER_BYTES, RecordType, USER_TYPE_START } from '../abi/record-table.ts';
import { recordBytesAt, recordGeometry, recordTypeAt, recordWordsAt } from '../abi/record-view.ts';
import { sampleFixedBytes } from '../abi/sample.ts';
import { assert } from '../base/error.ts';

/** Called for each record with its offset in the chunk and its time, both in 32-bit words. */
export type RecordVisitor = (wordOffset: number, timeHigh: number, timeLow: number, type: number) => void;

/** The chunk as words: in place when aligned, else a copy. Bytes after the last whole word are left out. */
export function asWords(chunk: Uint8Array): Uint32Array {
  const length = chunk.length >>> 2;
  return chunk.byteOffset % 4 === 0
    ? new Uint32Array(chunk.buffer, chunk.byteOffset, length)
    : new Uint32Array(new Uint8Array(chunk.subarray(0, length * 4)).buffer);
}

/** Where the samples of one event hold what the walk reads, in words from the start of the record; −1: absent. */
interface SampleShape {
  readonly time: number;
  /** The first word of READ, or of what follows it where READ is absent. */
  readonly variable: number;
  readonly readFormat: bigint;
  readonly hasRead: boolean;
  readonly hasCallchain: boolean;
  readonly hasRaw: boolean;
}

/** The walk over the records of one set of events. */
export class RecordWalk {
  private readonly shapes: SampleShape[];
  private readonly shapeOfId = new Map<number, SampleShape>();
  private readonly idWord: number;
  private readonly trailerWords: number;
  private readonly timeFromEnd: number;

  /** `events[0]` is the leader: every event must have its trailer and its identifier in the same place. */
  constructor(events: readonly { readonly attr: EventAttr; readonly ids: readonly bigint[] }[]) {
    const leader = recordGeometry(events[0]!.attr);
    this.idWord = leader.sample.id / 4;
    this.trailerWords = leader.trailer / 4;
    this.timeFromEnd = leader.fromEnd.time / 4;
    this.shapes = events.map(({ attr }) => sampleShape(attr));
    for (const [index, { attr, ids }] of events.entries()) {
      const geometry = recordGeometry(attr);
      assert(
        geometry.trailer === leader.trailer && geometry.sample.id === leader.sample.id,
        'all events of a snapshot share the trailer and the place of the identifier',
      );
      for (const id of ids) this.shapeOfId.set(Number(id), this.shapes[index]!);
    }
    if (this.shapes.every((shape) => isSameShape(shape, this.shapes[0]!))) this.shapeOfId.clear();
  }

  /** Visits the whole records of `words` in order; returns how many words from the first damage on are left out. */
  walk(words: Uint32Array, visit: RecordVisitor): number {
    let at = 0;
    while (at < words.length) {
      if (!this.isWhole(words, at)) return words.length - at;
      const type = recordTypeAt(words, at);
      const length = recordWordsAt(words, at);
      const time = type === RecordType.SAMPLE ? this.timeOfSample(words, at, length) : this.timeOfOther(at, length);
      if (time === DAMAGED) return words.length - at;
      if (time < 0) visit(at, 0, 0, type);
      else visit(at, words[time + 1]!, words[time]!, type);
      at += length;
    }
    return 0;
  }

  private isWhole(words: Uint32Array, at: number): boolean {
    if (words.length - at < HEADER_BYTES / 4) return false;
    const type = recordTypeAt(words, at);
    const bytes = recordBytesAt(words, at);
    // Types of perf itself occur in files, never in rings: perf would act on them.
    if (type === 0 || type >= USER_TYPE_START) return false;
    return bytes % 8 === 0 && bytes >= HEADER_BYTES && bytes / 4 <= words.length - at;
  }

  /** The word of the record's time, NONE or DAMAGED. */
  private timeOfOther(at: number, length: number): number {
    if (length < HEADER_BYTES / 4 + this.trailerWords) return DAMAGED;
    return this.timeFromEnd < 0 ? NONE : at + length - this.timeFromEnd;
  }

  private timeOfSample(words: Uint32Array, at: number, length: number): number {
    const shape = this.shapeOf(words, at, length);
    if (!shape || !sampleFits(words, at, length, shape)) return DAMAGED;
    return shape.time < 0 ? NONE : at + shape.time;
  }

  private shapeOf(words: Uint32Array, at: number, length: number): SampleShape | undefined {
    if (this.shapeOfId.size === 0) return this.shapes[0]!;
    if (this.idWord < 0 || this.idWord + 2 > length) return undefined;
    const id = words[at + this.idWord]! + words[at + this.idWord + 1]! * 2 ** 32;
    // perf assigns a record with an unknown id to the leader.
    return this.shapeOfId.get(id) ?? this.shapes[0]!;
  }
}

const NONE = -1;
const DAMAGED = -2;

function sampleShape(attr: EventAttr): SampleShape {
  const has = (bit: bigint) => (attr.sampleType & bit) !== 0n;
  return {
    time: recordGeometry(attr).sample.time < 0 ? NONE : recordGeometry(attr).sample.time / 4,
    variable: sampleFixedBytes(attr) / 4,
    readFormat: attr.readFormat,
    hasRead: has(SampleType.read),
    hasCallchain: has(SampleType.callchain),
    hasRaw: has(SampleType.raw),
  };
}

function isSameShape(a: SampleShape, b: SampleShape): boolean {
  return (
    a.time === b.time &&
    a.variable === b.variable &&
    a.readFormat === b.readFormat &&
    a.hasRead === b.hasRead &&
    a.hasCallchain === b.hasCallchain &&
    a.hasRaw === b.hasRaw
  );
}

/** Whether the parts of a SAMPLE that state their own length end inside it. `length`: words of the record. */
function sampleFits(words: Uint32Array, at: number, length: number, shape: SampleShape): boolean {
  let used = shape.variable;
  if (used > length) return false;
  if (shape.hasRead) {
    used += readWords(words, at + used, length - used, shape.readFormat);
    if (!(used <= length)) return false;
  }
  if (shape.hasCallchain) {
    if (used + 2 > length || words[at + used + 1] !== 0) return false;
    used += 2 + words[at + used]! * 2;
    if (used > length) return false;
  }
  if (shape.hasRaw) {
    if (used + 1 > length) return false;
    used += (4 + words[at + used]!) / 4;
  }
  return used <= length;
}

/** Words of a READ block (struct read_format) at `at`; infinite when it does not fit `room`. */
function readWords(words: Uint32Array, at: number, room: number, format: bigint): number {
  const times = (format & ReadFormat.totalTimeEnabled ? 2 : 0) + (format & ReadFormat.totalTimeRunning ? 2 : 0);
  const perValue = 2 + (format & ReadFormat.id ? 2 : 0) + (format & ReadFormat.lost ? 2 : 0);
  if (!(format & ReadFormat.group)) return times + perValue;
  if (room < 2 || words[at + 1] !== 0) return Number.POSITIVE_INFINITY;
  return 2 + times + words[at]! * perValue;
}
