/**
 * The only writer of a ring: copies whole records in, the newest at the lowest address.
 *
 * Invariant: stopped between any two stores, the ring lacks the record being written and the oldest ones that it was
 * about to overwrite (and ANNOUNCE_AHEAD_BYTES more); every other record is whole.
 */
import { lowWord } from '../abi/layout.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert } from '../base/error.ts';
import { acquireHead, acquireTail, announceData, publishData, publishDataSize } from './publication.ts';
import { commWords, headerFieldOffset, type RingGeometry } from './ring-layout.ts';

const PAGE_SHIFT = Math.log2(PAGE_BYTES);
const RECORD_COUNT = headerFieldOffset('recordCountLow') >> 2;
const LOST_COUNT = headerFieldOffset('lostCountLow') >> 2;
const COMM = headerFieldOffset('comm0') >> 2;
const EXIT_TIME = headerFieldOffset('exitTimeNs') >> 2;

/**
 * How far ahead of the record being written overwriting is announced. The fence of an announcement is then paid once
 * for several records; so many bytes of the oldest records are given up early.
 */
export const ANNOUNCE_AHEAD_BYTES = 512;

export class RingWriter {
  /** The whole file as 32-bit words. */
  readonly #words: Int32Array;
  /** Word index of the data area, and its size in words less one. */
  readonly #data: number;
  #mask: number;
  #dataBytes: number;
  /** The size that the ring was created with. */
  readonly #wholeBytes: number;
  /** Low word of the head: bytes, decreasing. */
  #head = PAGE_BYTES;
  /** Bytes below the head that are announced already. */
  #announcedBytes = 0;

  /** `words` is a freshly initialised ring file (`initialiseRing`). */
  constructor(words: Int32Array, geometry: RingGeometry) {
    this.#words = words;
    this.#data = geometry.dataOffset >> 2;
    this.#mask = (geometry.dataBytes >> 2) - 1;
    this.#dataBytes = geometry.dataBytes;
    this.#wholeBytes = geometry.dataBytes;
  }

  /**
   * Continues a ring that another writer left, stopped at any store; undefined where no writer leaves such a head and
   * tail.
   *
   * The bytes between tail and head may be torn: the old writer had announced them. They stay announced until records
   * have replaced them; else the first small record would make the rest of a large torn one readable, one data size
   * further.
   *
   *   left by the old writer     tail ░░torn░░ head ▓▓▓▓▓         after a smaller record    tail ░░ head ▓▓▓▓▓▓▓▓▓▓▓
   */
  static resume(words: Int32Array, geometry: RingGeometry): RingWriter | undefined {
    const head = acquireHead(words);
    const announcedBytes = (head - acquireTail(words)) >>> 0;
    // Records are multiples of 8 bytes, and so are positions.
    if (head % 8 !== 0 || announcedBytes % 8 !== 0 || announcedBytes > geometry.dataBytes) return undefined;
    const writer = new RingWriter(words, geometry);
    writer.#head = head;
    writer.#announcedBytes = announcedBytes;
    return writer;
  }

  /** Whether the ring can hold a record of `bytes`. */
  fits(bytes: number): boolean {
    return bytes <= this.#dataBytes;
  }

  /** The data page, from 0, that the next record ends in: the first that it needs. */
  get page(): number {
    return ((this.#head - 1) & (this.#dataBytes - 1)) >>> PAGE_SHIFT;
  }

  /** Whether that page is another than the one the newest record begins in. */
  get beginsPage(): boolean {
    return (this.#head & (PAGE_BYTES - 1)) === 0;
  }

  /** Whether writing `bytes` stays within the page that the next record ends in. */
  staysInPage(bytes: number): boolean {
    return bytes <= ((this.#head - 1) & (PAGE_BYTES - 1)) + 1;
  }

  /**
   * Copies one record of `bytes` (its own size field, a multiple of 8) from `source` at word `from`.
   * The caller holds the right to write: the event's gate is open and its pages are pinned.
   * `id`, unless 0, replaces the record's PERF_SAMPLE_IDENTIFIER, `idAt` words from its start (`identifierWord`).
   */
  write(source: Int32Array, from: number, bytes: number, id = 0, idAt = 0): void {
    assert((bytes & 7) === 0 && bytes <= this.#dataBytes, 'a record is whole and fits');
    if (bytes > this.#announcedBytes) this.#announce(bytes);
    this.#announcedBytes -= bytes;
    const head = (this.#head - bytes) | 0;
    const words = this.#words;
    const count = bytes >> 2;
    const at = (head >>> 2) & this.#mask;
    if (at + count <= this.#mask + 1) copyWords(source, from, words, this.#data + at, count);
    else {
      const first = this.#mask + 1 - at;
      copyWords(source, from, words, this.#data + at, first);
      copyWords(source, from + first, words, this.#data, count - first);
    }
    if (id !== 0) {
      const idWord = this.#data + ((at + idAt) & this.#mask);
      words[idWord] = id;
      words[idWord + 1] = 0;
    }
    publishData(words, head);
    this.#head = head;
    const recordCount = (words[RECORD_COUNT]! + 1) | 0;
    words[RECORD_COUNT] = recordCount;
    if (recordCount === 0) words[RECORD_COUNT + 1] = (words[RECORD_COUNT + 1]! + 1) | 0;
  }

  /** Announces the record of `bytes` and what may follow it. */
  #announce(bytes: number): void {
    this.#announcedBytes = Math.min(bytes + ANNOUNCE_AHEAD_BYTES, this.#dataBytes);
    announceData(this.#words, (this.#head - this.#announcedBytes) | 0);
  }

  /** Whether the ring overwrites within its first data page. */
  get isNarrow(): boolean {
    return this.#dataBytes < this.#wholeBytes;
  }

  /**
   * From now on the ring overwrites within its first data page, the only one that it has written so far: the others
   * have no memory. False: it has written others, or too much of what another writer left may be torn.
   */
  narrow(): boolean {
    if (this.#head < 0 || this.#head > PAGE_BYTES || this.#announcedBytes > PAGE_BYTES) return false;
    this.#resize(PAGE_BYTES);
    return true;
  }

  /**
   * The whole ring has memory again. Every page is the first one to positions modulo its size, so that the records stay
   * at their positions: they are copied to the pages where a ring of the whole size has them. What is older reads as
   * never written.
   *
   *     narrow   [▓▓▓new▓▓▓┊▒▒▒old▒▒▒]                 one page: head at ┊… wraps
   *     whole    … [        ▓▓▓new▓▓▓] [▒▒▒old▒▒▒0 ]   …
   */
  widen(): void {
    if (!this.isNarrow) return;
    const page = new Int32Array(PAGE_BYTES >> 2);
    copyWords(this.#words, this.#data, page, 0, page.length);
    const pageMask = page.length - 1;
    const wholeMask = (this.#wholeBytes >> 2) - 1;
    const head = this.#head >>> 2;
    const words = this.#wholeWords(page, head);
    for (let i = 0; i < words; i++) this.#words[this.#data + ((head + i) & wholeMask)] = page[(head + i) & pageMask]!;
    // The zeros may replace the header of a record that the narrow ring still has whole: it is given up before them.
    this.#announcedBytes = PAGE_BYTES - (words << 2);
    announceData(this.#words, (this.#head - this.#announcedBytes) | 0);
    this.#words[this.#data + ((head + words) & wholeMask)] = 0;
    this.#words[this.#data + ((head + words + 1) & wholeMask)] = 0;
    this.#resize(this.#wholeBytes);
  }

  /** Words of the whole records from word `head` on; a header's place is left behind them. */
  #wholeWords(page: Int32Array, head: number): number {
    const mask = page.length - 1;
    const most = page.length - (this.#announcedBytes >> 2);
    let used = 0;
    while (used + 2 <= most) {
      const count = page[(head + used + 1) & mask]! >>> 18;
      if (count < 2 || used + count > most - 2) break;
      used += count;
    }
    return used;
  }

  #resize(dataBytes: number): void {
    this.#mask = (dataBytes >> 2) - 1;
    this.#dataBytes = dataBytes;
    publishDataSize(this.#words, dataBytes);
  }

  /** Adds to the count of lost records. */
  countLost(records: number): void {
    const words = this.#words;
    const lost = (words[LOST_COUNT + 1]! >>> 0) * 2 ** 32 + (words[LOST_COUNT]! >>> 0) + records;
    words[LOST_COUNT] = lost | 0;
    words[LOST_COUNT + 1] = Math.floor(lost / 2 ** 32);
  }

  /** Sets the thread's name. */
  setComm(comm: string): void {
    const parts = commWords(comm);
    for (const [index, part] of parts.entries()) {
      this.#words[COMM + 2 * index] = lowWord(part);
      this.#words[COMM + 2 * index + 1] = lowWord(part >> 32n);
    }
  }

  /** Sets the time of the thread's exit. */
  setExit(timeNs: bigint): void {
    this.#words[EXIT_TIME] = lowWord(timeNs);
    this.#words[EXIT_TIME + 1] = lowWord(timeNs >> 32n);
  }
}

/** Copies an even number of words: records are multiples of eight bytes. */
function copyWords(source: Int32Array, from: number, target: Int32Array, to: number, count: number): void {
  // Four at a time: an iteration costs as much as copying two.
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    target[to + i] = source[from + i]!;
    target[to + i + 1] = source[from + i + 1]!;
    target[to + i + 2] = source[from + i + 2]!;
    target[to + i + 3] = source[from + i + 3]!;
  }
  for (; i < count; i++) target[to + i] = source[from + i]!;
}
