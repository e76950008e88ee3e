/**
 * Reads a ring file: whole records only, newest first.
 *
 * 1. Copy: head, then everything, then tail (`copyRing`); a running writer then only makes the oldest records
 * unreadable.
 * 2. Walk from head: each record's size leads to the next older one.
 * 3. Stop at the first header of size 0 (never written), at tail + size, or at an impossible header, and count the
 * bytes
 *    left out.
 *
 * Invariant: every record returned was written whole.
 */
import { HEADER_BYTES } from '../abi/record-table.ts';
import { recordBytesIn, recordTypeIn } from '../abi/record-view.ts';
import { AUX_HEAD_OFFSET, AUX_TAIL_OFFSET, DATA_HEAD_OFFSET, DATA_TAIL_OFFSET } from '../abi/user-page.ts';
import { acquireAuxHead, acquireAuxTail, acquireHead, acquireTail } from './publication.ts';
import { type RingHeader, readRingHeader } from './ring-layout.ts';

/** Why reading stopped: the ring was never full; its oldest record is cut, as in any full ring; a header is damaged. */
export type RingEnd = 'never-full' | 'oldest-cut' | 'damaged';

export interface RingContents {
  readonly header: RingHeader;
  /** Whole records, newest first, concatenated; each is its own size field long. */
  readonly records: Uint8Array;
  readonly recordCount: number;
  /** Records committed and since overwritten. */
  readonly overwrittenCount: number;
  readonly end: RingEnd;
  /** Bytes that hold no whole record: the cut oldest one, or everything from the damage on. */
  readonly leftOutBytes: number;
}

/**
 * A copy of a ring that may be written meanwhile, with the head and tail between which the copied bytes are valid. Its
 * data size must not change meanwhile.
 */
export function copyRing(words: Int32Array): Uint8Array<ArrayBuffer> {
  const head = acquireHead(words);
  const auxHead = acquireAuxHead(words);
  const copy = new Int32Array(words.length);
  copy.set(words);
  const tail = acquireTail(words);
  const auxTail = acquireAuxTail(words);
  copy[DATA_HEAD_OFFSET >> 2] = head;
  copy[DATA_TAIL_OFFSET >> 2] = tail;
  copy[AUX_HEAD_OFFSET >> 2] = auxHead;
  copy[AUX_TAIL_OFFSET >> 2] = auxTail;
  return new Uint8Array(copy.buffer);
}

/** Reads an image that does not change (a copy, a file, bytes of a core dump). Throws `not-a-ring`. */
export function readRing(image: Uint8Array): RingContents {
  const header = readRingHeader(image);
  const { dataOffset, dataBytes } = header.geometry;
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const head = view.getUint32(DATA_HEAD_OFFSET, true);
  const tail = view.getUint32(DATA_TAIL_OFFSET, true);
  const inFlight = (head - tail) >>> 0;
  if (head % 8 !== 0 || tail % 8 !== 0 || inFlight > dataBytes) {
    return {
      header,
      records: new Uint8Array(0),
      recordCount: 0,
      overwrittenCount: 0,
      end: 'damaged',
      leftOutBytes: dataBytes,
    };
  }

  const trusted = dataBytes - inFlight;
  let used = 0;
  let recordCount = 0;
  let end: RingEnd = 'oldest-cut';
  while (trusted - used >= HEADER_BYTES) {
    const at = dataOffset + ((head + used) & (dataBytes - 1));
    const size = recordBytesIn(view, at);
    const isBlank = size === 0 && recordTypeIn(view, at) === 0;
    if (isBlank) {
      end = 'never-full';
      break;
    }
    if (size < HEADER_BYTES || size % 8 !== 0) {
      end = 'damaged';
      break;
    }
    if (size > trusted - used) break;
    used += size;
    recordCount++;
  }
  return {
    header,
    records: unwrap(image, dataOffset, dataBytes, head & (dataBytes - 1), used),
    recordCount,
    overwrittenCount: Math.max(0, header.recordCount - recordCount),
    end,
    leftOutBytes: end === 'never-full' ? 0 : trusted - used,
  };
}

/** `length` bytes of the data area from `start` on, in one piece. */
function unwrap(image: Uint8Array, dataOffset: number, dataBytes: number, start: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  const first = Math.min(length, dataBytes - start);
  out.set(image.subarray(dataOffset + start, dataOffset + start + first));
  out.set(image.subarray(dataOffset, dataOffset + length - first), first);
  return out;
}
