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
 *   writer  W1  announce  tail := h − n     what lies at tail + size and above is given up
 *           W2  store the n bytes
 *           W3  publish   head := h − n
 *   reader  R1  load head
 *           R2  load the data
 *           R3  load tail                   it believes only [head, tail + size)
 *
 * Required: W1 before W2 (a reader that sees new bytes sees their announcement), W2 before W3 (one that sees the head
 * sees the bytes), R1 before R2, R2 before R3. Nothing orders W3 and the next W2: it writes below a head that no reader
 * has seen, in what is announced already. Nothing orders the counts and the name in the header: readers take them as
 * approximate while the writer runs.
 *
 * x86-64: W1, W2 and W3 are plain stores. Stores become visible in program order, and loads are done in program order
 * (Intel SDM volume 3, 9.2.2); V8 does not reorder accesses to a typed array. Atomics.store would be a call and a full
 * fence, a quarter of what a record costs.
 *
 * arm64: V8 compiles Atomics.store to STLR and Atomics.load to LDAR. Of the model's barrier-ordered-before (Arm ARM
 * DDI 0487, B2.3; bob of aarch64.cat) three clauses are used:
 *   (1) any access   → a later STLR
 *   (2) an LDAR      → any later access
 *   (3) an STLR      → a later LDAR, of any address
 *  - W2 before W3: W3 is an STLR (1).
 *  - W1 before W2: an STLR alone does not order the stores behind it. W1 is an STLR followed by an LDAR: (3), then (2).
 *    Atomics.exchange would not do instead: without LSE it is an LDAXR/STLXR loop, whose store later stores may
 *    overtake.
 *  - R1 before R2: R1 is an LDAR (2).
 *  - R2 before R3: an LDAR alone does not order the loads before it. An STLR to a word of the reader's own stands
 *    between them, R3 is an LDAR: (1), then (3).
 * Neither is a promise of ECMAScript: its memory model orders plain accesses by Atomics only where a reader's
 * Atomics.load reads the very word that was stored, and knows no memory that other processes map. This file relies on
 * V8 as it is: were Atomics.load an LDAPR, (3) would not hold.
 *
 * A writer that is killed needs no fence: all stores before the instruction it stopped at become visible, none after.
 *
 * head and tail are u64 in the file, as in the kernel's struct. Positions come from the low word alone (the data size
 * divides 2^32), so the high word needs no order: it is stored when the low one wraps, and a reader that sees it late
 * computes the same positions.
 */
import {
  AUX_HEAD_OFFSET,
  AUX_TAIL_OFFSET,
  DATA_HEAD_OFFSET,
  DATA_SIZE_OFFSET,
  DATA_TAIL_OFFSET,
} from '../abi/user-page.ts';
import { assert } from '../base/error.ts';

const IS_TOTAL_STORE_ORDER = process.arch === 'x64';

const HEAD = DATA_HEAD_OFFSET >> 2;
const TAIL = DATA_TAIL_OFFSET >> 2;
const AUX_HEAD = AUX_HEAD_OFFSET >> 2;
const AUX_TAIL = AUX_TAIL_OFFSET >> 2;
const DATA_SIZE = DATA_SIZE_OFFSET >> 2;
const SIGN = 0x80000000;

/** The reader's own word, for the STLR between R2 and R3. */
const FENCE = new Int32Array(1);

/** W1: bytes from `position` (low word, decreasing) up to the present head are about to change. */
export function announceData(words: Int32Array, position: number): void {
  if (isAbove(position, words[TAIL]!)) words[TAIL + 1] = (words[TAIL + 1]! - 1) | 0;
  announce(words, TAIL, position);
}

/** W3: makes everything from `position` up to the old head readable. */
export function publishData(words: Int32Array, position: number): void {
  if (isAbove(position, words[HEAD]!)) words[HEAD + 1] = (words[HEAD + 1]! - 1) | 0;
  publish(words, HEAD, position);
}

/**
 * The size of the data area: positions between head and tail + size hold the same bytes before and after, or are no
 * records. Below 4 GiB, so that the low word is all of it.
 */
export function publishDataSize(words: Int32Array, dataBytes: number): void {
  publish(words, DATA_SIZE, dataBytes);
  // The first store into the resized area comes after it.
  announce(words, DATA_SIZE, dataBytes);
}

/** Compares low words as unsigned; with their signs flipped, so that it takes no more than 32 bits. */
function isAbove(a: number, b: number): boolean {
  return (a ^ SIGN) > (b ^ SIGN);
}

/** A store that is visible before every later one. */
function announce(words: Int32Array, index: number, value: number): void {
  if (IS_TOTAL_STORE_ORDER) words[index] = value;
  else announceFenced(words, index, value);
}

/** Apart, so that `announce` stays small enough to be inlined where it is hot. */
function announceFenced(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, value);
  // The load is half of the fence; its value is used so that no compiler has a reason to drop it.
  assert(Atomics.load(words, index) === value, 'a ring has one writer');
}

/** A store that is visible after every earlier one. */
function publish(words: Int32Array, index: number, value: number): void {
  if (IS_TOTAL_STORE_ORDER) words[index] = value;
  else Atomics.store(words, index, value);
}

/** A load that is done after every earlier one. */
function loadAfter(words: Int32Array, index: number): number {
  if (!IS_TOTAL_STORE_ORDER) Atomics.store(FENCE, 0, 0);
  return Atomics.load(words, index);
}

/** R1: the head's low word, before the data is read. */
export function acquireHead(words: Int32Array): number {
  return Atomics.load(words, HEAD);
}

/** R3: the tail's low word, after the data was read. */
export function acquireTail(words: Int32Array): number {
  return loadAfter(words, TAIL);
}

/** W1 of the AUX area, which goes forward: bytes below `position` are about to replace those one AUX area earlier. */
export function announceAux(words: Int32Array, position: number): void {
  announce(words, AUX_TAIL, position);
}

/** W3 of the AUX area: makes bytes below `position` readable. */
export function publishAux(words: Int32Array, position: number): void {
  publish(words, AUX_HEAD, position);
}

/** R1 of the AUX area. */
export function acquireAuxHead(words: Int32Array): number {
  return Atomics.load(words, AUX_HEAD);
}

/** R3 of the AUX area. */
export function acquireAuxTail(words: Int32Array): number {
  return loadAfter(words, AUX_TAIL);
}
