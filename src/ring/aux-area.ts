/**
 * The AUX area of a ring: a byte stream (a hardware trace, say) written forward and overwriting, beside the records.
 * An AUX record in the data area names each piece {aux_offset, aux_size}.
 *
 * Invariant: as for the data area, stopped between any two stores every piece that still counts as readable is intact.
 * aux_head and aux_tail are the low words of byte counts; a ring of ringkeep keeps the high words zero and counts
 * modulo 2^32, which the area's size divides.
 */

import { AUX_HEAD_OFFSET, AUX_TAIL_OFFSET } from '../abi/user-page.ts';
import { assert } from '../base/error.ts';
import { announceAux, publishAux } from './publication.ts';
import { type RingGeometry, readRingHeader } from './ring-layout.ts';

export class AuxWriter {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #auxOffset: number;
  readonly #auxBytes: number;
  #head = 0;

  constructor(words: Int32Array, geometry: RingGeometry) {
    assert(geometry.auxBytes > 0, 'the ring has an AUX area');
    this.#words = words;
    this.#bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    this.#auxOffset = geometry.auxOffset;
    this.#auxBytes = geometry.auxBytes;
  }

  /** Appends `piece` (at most the area's size). Returns its aux_offset, for its AUX record. */
  write(piece: Uint8Array): number {
    assert(piece.length <= this.#auxBytes, `a piece of ${piece.length} bytes fits the AUX area`);
    const offset = this.#head;
    const next = (offset + piece.length) >>> 0;
    announceAux(this.#words, next | 0);
    const start = offset & (this.#auxBytes - 1);
    const first = Math.min(piece.length, this.#auxBytes - start);
    this.#bytes.set(piece.subarray(0, first), this.#auxOffset + start);
    this.#bytes.set(piece.subarray(first), this.#auxOffset);
    publishAux(this.#words, next | 0);
    this.#head = next;
    return offset;
  }
}

/** The bytes of the piece {auxOffset, auxSize} in a ring image; undefined where newer ones have replaced any of it. */
export function readAux(image: Uint8Array, auxOffset: number, auxSize: number): Uint8Array | undefined {
  const { geometry } = readRingHeader(image);
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const head = view.getUint32(AUX_HEAD_OFFSET, true);
  const tail = view.getUint32(AUX_TAIL_OFFSET, true);
  // Counted back from the ends: the piece must be written whole, and begin within one area of what is announced.
  const writtenSince = (head - auxOffset) >>> 0;
  const announcedSince = (tail - auxOffset) >>> 0;
  if (auxSize > writtenSince || announcedSince > geometry.auxBytes || announcedSince < writtenSince) return undefined;
  const out = new Uint8Array(auxSize);
  const start = auxOffset & (geometry.auxBytes - 1);
  const first = Math.min(auxSize, geometry.auxBytes - start);
  out.set(image.subarray(geometry.auxOffset + start, geometry.auxOffset + start + first));
  out.set(image.subarray(geometry.auxOffset, geometry.auxOffset + auxSize - first), first);
  return out;
}
