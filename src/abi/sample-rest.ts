/**
 * How much a SAMPLE holds behind its raw data: branches and a copy of the user stack. Source:
 * include/uapi/linux/perf_event.h (PERF_RECORD_SAMPLE), Linux 6.1.
 *
 *   BRANCH_STACK │ nr u64 │ hw_idx u64 (BRANCH_HW_INDEX) │ nr × {from, to, flags} │
 *   REGS_USER    │ abi u64 │ a u64 for each bit of sample_regs_user, unless abi is 0 │
 *   STACK_USER   │ size u64 │ bytes │ dyn_size u64, unless size is 0 │
 */
import { type EventAttr, SampleType } from './event-attr.ts';

export interface SampleRest {
  readonly branches: number;
  readonly userStackBytes: number;
}

const BRANCH_BYTES = 24n;
/** PERF_SAMPLE_BRANCH_HW_INDEX. */
const BRANCH_HW_INDEX = 1n << 17n;
const WORD_BYTES = 8n;
const NOTHING: SampleRest = { branches: 0, userStackBytes: 0 };

/** Never throws: what does not fit counts as absent. */
export function measureRest(rest: Uint8Array | undefined, attr: EventAttr): SampleRest {
  if (rest === undefined) return NOTHING;
  const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength);
  const end = BigInt(rest.length);
  let at = 0n;
  const next = (): bigint => {
    const value = at + WORD_BYTES <= end ? view.getBigUint64(Number(at), true) : 0n;
    at += WORD_BYTES;
    return value;
  };
  let branches = 0n;
  if (attr.sampleType & SampleType.branchStack) {
    branches = next();
    at += branches * BRANCH_BYTES + (attr.branchSampleType & BRANCH_HW_INDEX ? WORD_BYTES : 0n);
    if (at > end) return NOTHING;
  }
  if (attr.sampleType & SampleType.regsUser && next() !== 0n) at += bitCount(attr.sampleRegsUser) * WORD_BYTES;
  const stackBytes = attr.sampleType & SampleType.stackUser ? next() : 0n;
  const isWhole = at + stackBytes <= end;
  return { branches: Number(branches), userStackBytes: isWhole ? Number(stackBytes) : 0 };
}

function bitCount(mask: bigint): bigint {
  let count = 0n;
  for (let left = mask; left > 0n; left &= left - 1n) count++;
  return count;
}
