/**
 * The stable order of records by time, exact for every u64. A radix sort over the four 16-bit digits of the time: a
 * comparison sort would allocate two bigints per comparison. Digits that all records share are skipped, which leaves
 * two or three passes for a capture of seconds, and none for one that is already in order.
 */

const DIGIT_BUCKETS = 1 << 16;

/** Positions of `times` in ascending order, equal times in their present order; undefined when already in order. */
export function timeOrder(times: BigUint64Array): Uint32Array | undefined {
  // Little-endian hosts only (x86-64, arm64): 16-bit digit d of time i is digits[4 * i + d], least significant first.
  const digits = new Uint16Array(times.buffer, times.byteOffset, times.length * 4);
  const words = new Uint32Array(times.buffer, times.byteOffset, times.length * 2);
  if (isSorted(words)) return undefined;
  let order = new Uint32Array(times.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  let next = new Uint32Array(times.length);
  for (let digit = 0; digit < 4; digit++) {
    const starts = bucketStarts(digits, digit);
    if (starts === undefined) continue;
    for (let i = 0; i < order.length; i++) {
      const position = order[i]!;
      next[starts[digits[position * 4 + digit]!]!++] = position;
    }
    [order, next] = [next, order];
  }
  return order;
}

function isSorted(words: Uint32Array): boolean {
  let lastHigh = 0;
  let lastLow = 0;
  for (let i = 0; i < words.length; i += 2) {
    const low = words[i]!;
    const high = words[i + 1]!;
    if (high < lastHigh || (high === lastHigh && low < lastLow)) return false;
    lastHigh = high;
    lastLow = low;
  }
  return true;
}

/** Where each bucket of the digit begins; undefined when all records share the digit. */
function bucketStarts(digits: Uint16Array, digit: number): Uint32Array | undefined {
  const starts = new Uint32Array(DIGIT_BUCKETS);
  for (let i = digit; i < digits.length; i += 4) starts[digits[i]!]!++;
  if (starts[digits[digit]!] === digits.length / 4) return undefined;
  let sum = 0;
  for (let bucket = 0; bucket < DIGIT_BUCKETS; bucket++) {
    const count = starts[bucket]!;
    starts[bucket] = sum;
    sum += count;
  }
  return starts;
}
