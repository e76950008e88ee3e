/**
 * The names that perf script prints of a file compared with ours, frame by frame. Invariant: a frame counts as equal
 * only when the mangled symbols are spelt alike; frames without a name in both are counted apart from those.
 */
import { RecordType } from '../../src/abi/record-table.ts';
import { CONTEXT_MAX, Context } from '../../src/abi/sample.ts';
import type { Capture } from '../../src/perf-data/capture.ts';
import { resolveStack, type StackFrame, stackAddresses } from '../../src/perf-data/stack.ts';
import type { Symbolizer } from '../../src/perf-data/symbolizer.ts';
import { withCapture } from '../../src/services/capture-file.ts';
import { symbolsOf } from '../../src/services/capture-symbols.ts';
import { run } from '../../src/snapshot/testing/perf-tool.ts';

export interface NameAgreement {
  /** Frames that both name, alike. */
  readonly equal: number;
  /** Frames that neither names. */
  readonly unnamed: number;
  /** Frames named differently, `ours | perf's`, and how often. */
  readonly different: ReadonlyMap<string, number>;
  /** Equal frames that lie in the kernel. */
  readonly equalInKernel: number;
  /** Every name that is equal, as its source spells it. */
  readonly names: ReadonlySet<string>;
  readonly problems: readonly string[];
}

/** The share of frames on which both agree, of those that at least one names. */
export function shareEqual({ equal, different }: NameAgreement): number {
  const differing = [...different.values()].reduce((sum, count) => sum + count, 0);
  return equal / (equal + differing);
}

/** Compares all samples of `path`. A sample of which the two show a different number of frames is an error. */
export function nameAgreement(path: string): NameAgreement {
  const theirs = stacksByPerf(path);
  const different = new Map<string, number>();
  const names = new Set<string>();
  const counts = { equal: 0, unnamed: 0, equalInKernel: 0 };
  const compare = (frame: StackFrame, symbol: string): void => {
    if (frame.symbol === null && symbol === UNKNOWN) counts.unnamed++;
    else if (frame.symbol === symbol) {
      counts.equal++;
      names.add(frame.name!);
      if (frame.isKernel) counts.equalInKernel++;
    } else {
      const pair = `${frame.symbol ?? UNKNOWN} | ${symbol}`;
      different.set(pair, (different.get(pair) ?? 0) + 1);
    }
  };
  const problems = eachStack(path, (frames, tid, timeNs, callchain) => {
    const stack = theirs.get(`${tid} ${timeNs}`)?.shift() ?? [];
    if (stack.length === 0 && isDiscarded(callchain)) return;
    if (stack.length !== frames.length)
      throw new Error(`thread ${tid} at ${timeNs}: ${frames.length} frames, ${stack.length} by perf`);
    for (const [depth, frame] of frames.entries()) compare(frame, stack[depth]!);
  });
  return { ...counts, different, names, problems };
}

/** Every frame of every sample in `path`, and the problems of naming them. */
export function allFrames(path: string): { frames: StackFrame[]; problems: string[] } {
  return framesBy(path, symbolsOf);
}

/** As `allFrames`, with another source of names. */
export function framesBy(
  path: string,
  namerOf: (capture: Capture) => Symbolizer,
): { frames: StackFrame[]; problems: string[] } {
  const all: StackFrame[] = [];
  const problems = eachStack(path, (frames) => all.push(...frames), namerOf);
  return { frames: all, problems };
}

/** Names every sample's stack in time order; the problems of naming them. */
function eachStack(
  path: string,
  visit: (frames: StackFrame[], tid: number, timeNs: bigint, callchain: BigUint64Array | undefined) => void,
  namerOf: (capture: Capture) => Symbolizer = symbolsOf,
): string[] {
  return withCapture(path, (capture) => {
    const namer = namerOf(capture);
    for (let index = 0; index < capture.recordCount; index++) {
      const thread = capture.threadAt(index);
      if (capture.typeAt(index) !== RecordType.SAMPLE || thread === undefined) continue;
      const record = capture.record(index);
      if (record.name !== 'SAMPLE') continue;
      const timeNs = capture.timeAt(index);
      const addresses = stackAddresses(record.body, record.misc);
      const frames = resolveStack(addresses, thread.process, capture.tasks, timeNs, namer);
      visit(frames, thread.tid, timeNs, record.body.callchain);
    }
    return [...namer.problems];
  });
}

/**
 * Whether perf shows nothing of the chain: what the kernel took for a return address, on a stack without frame
 * pointers, looks like a marker that there is none of (thread__resolve_callchain_sample, tools/perf/util/machine.c,
 * Linux 6.1).
 */
function isDiscarded(callchain: BigUint64Array | undefined): boolean {
  const markers: readonly bigint[] = Object.values(Context);
  return callchain?.some((entry) => entry >= CONTEXT_MAX && !markers.includes(entry)) ?? false;
}

const UNKNOWN = '[unknown]';
/** ` TID SECONDS.NANOSECONDS:`, before the frames, or before the one frame where there is no callchain. */
const SAMPLE = /^\s*(-?\d+)\s+(\d+)\.(\d{9}):\s*(.*)$/;
/** ` ADDRESS SYMBOL (FILE)`. */
const FRAME = /^\s*[0-9a-f]+ (.*) \([^()]*(?:\(deleted\))?\)\s*$/;

/** The stacks of all samples by thread and time, innermost frame first. */
function stacksByPerf(path: string): Map<string, string[][]> {
  const fields = ['-F', 'tid,time,ip,sym,dso', '--ns', '--no-inline', '--no-demangle'];
  const { status, stdout, stderr } = run('perf', 'script', '-f', '-i', path, ...fields);
  if (status !== 0) throw new Error(`perf script ends with ${status} and prints: ${stderr}`);
  const stacks = new Map<string, string[][]>();
  let stack: string[] = [];
  const add = (line: string): void => {
    const symbol = FRAME.exec(line)?.[1];
    if (symbol !== undefined) stack.push(symbol);
    else if (line.trim() !== '') throw new Error(`unknown line of perf script: ${line}`);
  };
  for (const line of stdout.split('\n')) {
    const [, tid, seconds, nanoseconds, rest] = SAMPLE.exec(line) ?? [];
    if (tid === undefined) {
      add(line);
      continue;
    }
    stack = [];
    const key = `${tid} ${BigInt(`${seconds}${nanoseconds}`)}`;
    const known = stacks.get(key);
    if (known) known.push(stack);
    else stacks.set(key, [stack]);
    add(rest!);
  }
  return stacks;
}
