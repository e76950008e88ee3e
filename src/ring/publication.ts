/**
 * The order in which a ring's words become visible. Nothing outside this file stores head or tail.
 *
 * A backward ring with head h (bytes, decreasing; only its value modulo the data size matters):
 *
 *      tail            head
 *        ▼               ▼
 *   ─────┬───────────────┬──────────────┬──────────── … ───────────┬──
 *        │ being written │ newest       │ older                    │ overwritten next
 *   ─────┴───────────────┴──────────────┴──────────── … ───────────┴──
 *                                                             tail + size
 *
 *   announce(tail := h − n)   before the first byte of a record is stored: what lies at tail + size and above is no more
 *   store the n bytes
 *   publish(head := h − n)    after the last byte
 *
 * A reader takes head first, then the data, then tail, and believes only [head, tail + size).
 *
 * Why Atomics: a reader in another process must see the bytes before the head that covers them, and the announcement
 * before the bytes that destroy. That is release order on arm64, where only Atomics.store gives it. x86-64 keeps stores in
 * program order for every other CPU (Intel SDM volume 3, 9.2.2), and V8 keeps typed-array stores in program order too, so
 * there a plain store is enough; Atomics.store would be a call and a full fence, a quarter of what a record costs.
 * For a writer that is killed no fence is needed anywhere: stores retire in program order.
 *
 * head and tail are u64 in the file, as in the kernel's struct. Positions come from the low word alone (the data size
 * divides 2^32), so the high word needs no order: it is stored when the low one wraps, and a reader that sees it late
 * computes the same positions.
 */
import { AUX_HEAD_OFFSET, AUX_TAIL_OFFSET, DATA_HEAD_OFFSET, DATA_TAIL_OFFSET } from '../abi/user-page.ts';

const KEEPS_STORE_ORDER = process.arch === 'x64';

const HEAD = DATA_HEAD_OFFSET >> 2;
const TAIL = DATA_TAIL_OFFSET >> 2;
const AUX_HEAD = AUX_HEAD_OFFSET >> 2;
const AUX_TAIL = AUX_TAIL_OFFSET >> 2;
const SIGN = 0x80000000;

/** Says that bytes from `position` (low word, decreasing) up to the present head are about to change. */
export function announceData(words: Int32Array, position: number): void {
  if (isAbove(position, words[TAIL]!)) words[TAIL + 1] = (words[TAIL + 1]! - 1) | 0;
  store(words, TAIL, position);
}

/** Makes everything from `position` up to the old head readable. */
export function publishData(words: Int32Array, position: number): void {
  if (isAbove(position, words[HEAD]!)) words[HEAD + 1] = (words[HEAD + 1]! - 1) | 0;
  store(words, HEAD, position);
}

/** Compares low words as unsigned; with their signs flipped, so that it takes no more than 32 bits. */
function isAbove(a: number, b: number): boolean {
  return (a ^ SIGN) > (b ^ SIGN);
}

/** A store that no reader sees before the stores that came earlier. */
function store(words: Int32Array, index: number, value: number): void {
  if (KEEPS_STORE_ORDER) words[index] = value;
  else Atomics.store(words, index, value);
}

/** The head's low word, before the data is read. */
export function acquireHead(words: Int32Array): number {
  return Atomics.load(words, HEAD);
}

/** The tail's low word, after the data was read. */
export function acquireTail(words: Int32Array): number {
  return Atomics.load(words, TAIL);
}

/** AUX data goes forward: bytes below `position` are about to replace those one AUX area earlier. */
export function announceAux(words: Int32Array, position: number): void {
  store(words, AUX_TAIL, position);
}

/** Makes AUX bytes below `position` readable. */
export function publishAux(words: Int32Array, position: number): void {
  store(words, AUX_HEAD, position);
}

export function acquireAuxHead(words: Int32Array): number {
  return Atomics.load(words, AUX_HEAD);
}

export function acquireAuxTail(words: Int32Array): number {
  return Atomics.load(words, AUX_TAIL);
}
