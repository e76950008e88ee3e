/**
 * Samples with their stacks as numbers of a StackTable and their weights. Records are read in time order: an address
 * is looked up once, until something is mapped or unmapped in its address space. Invariant: every SAMPLE record is
 * one sample, whether it has a stack, a time and a task or not.
 */
import { EventType, hasFlag, SampleType } from '../abi/event-attr.ts';
import { decodeProcfsSample, PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import type { SampleRecord } from '../abi/record.ts';
import { RecordType } from '../abi/record-table.ts';
import type { AddressMap } from '../perf-data/address-map.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { CaptureEvent } from '../perf-data/event-table.ts';
import type { SelectedPart } from '../perf-data/selection.ts';
import { resolveStack, type StackAddress, type StackFrame, stackAddresses } from '../perf-data/stack.ts';
import { spaceAt, type ThreadEntry } from '../perf-data/task-table.ts';
import type { FrameNames } from './frame-names.ts';
import { NO_STACK, StackTable } from './stack-table.ts';

export interface Sample {
  /** Nanoseconds on the capture's clock; 0 for a sample without a time. */
  readonly timeNs: bigint;
  /** Undefined for a sample that names no task. */
  readonly thread: ThreadEntry | undefined;
  readonly event: CaptureEvent;
  /** NO_STACK when there is none. */
  readonly stack: number;
  /** What the sample stands for, in the unit of its event: nanoseconds, or occurrences. */
  readonly weight: number;
  /** The header's `misc` word. */
  readonly misc: number;
}

/** Whether the record is a sample that is in the part. */
export function isSample(capture: Capture, part: SelectedPart, index: number): boolean {
  return capture.typeAt(index) === RecordType.SAMPLE && part.hasRecord(index);
}

/** What the weights of an event's samples count. */
export function weightUnit(event: CaptureEvent): 'nanoseconds' | 'count' {
  return isClock(event) ? 'nanoseconds' : 'count';
}

export class SampleReader {
  readonly stacks = new StackTable();
  readonly #capture: Capture;
  readonly #names: FrameNames;
  readonly #placesBySpace = new Map<AddressMap, SpacePlaces>();
  readonly #frameByKey = new Map<string, number>();
  readonly #weights: number[];

  constructor(capture: Capture, names: FrameNames) {
    this.#capture = capture;
    this.#names = names;
    this.#weights = capture.events.map(fixedWeight);
  }

  /** The sample that this record is; undefined for a record that is none, or that is damaged. */
  read(index: number): Sample | undefined {
    const capture = this.#capture;
    const record = capture.record(index);
    if (record.name !== 'SAMPLE') return undefined;
    const event = capture.eventAt(index);
    const thread = capture.threadAt(index);
    const timeNs = capture.timeAt(index);
    const stack = event.name === PROCFS_EVENT_NAME ? this.#stateStack(record) : this.#stack(record, thread, timeNs);
    const weight = event.attr.sampleType & SampleType.period ? record.body.period : undefined;
    const fixed = this.#weights[event.index]!;
    return { timeNs, thread, event, stack, weight: weight === undefined ? fixed : Number(weight), misc: record.misc };
  }

  #stack({ body, misc }: SampleRecord, thread: ThreadEntry | undefined, timeNs: bigint): number {
    const addresses = stackAddresses(body, misc);
    const kernel = this.#places(this.#capture.tasks.kernelSpace, timeNs);
    const epoch = thread && this.#names.namer?.epochAt?.(thread.process.pid, timeNs);
    const user = thread && this.#places(spaceAt(thread.process, timeNs), timeNs, epoch);
    let stack = NO_STACK;
    for (let depth = addresses.length - 1; depth >= 0; depth--) {
      const at = addresses[depth]!;
      const places = at.isGuest ? undefined : at.isKernel ? kernel : user;
      let frame = places?.get(at.address);
      if (frame === undefined) {
        frame = this.#frame(at, thread, timeNs);
        places?.set(at.address, frame);
      }
      stack = this.stacks.stackOf(stack, frame);
    }
    return stack;
  }

  #places(space: AddressMap, timeNs: bigint, epoch = 0): Map<bigint, number> {
    let places = this.#placesBySpace.get(space);
    if (places === undefined) {
      places = new SpacePlaces(space);
      this.#placesBySpace.set(space, places);
    }
    return places.at(timeNs, epoch);
  }

  #frame(at: StackAddress, thread: ThreadEntry | undefined, timeNs: bigint): number {
    const process = thread?.process;
    const [resolved] = process ? resolveStack([at], process, this.#capture.tasks, timeNs, this.#names.namer) : [];
    const frame: StackFrame = resolved ?? {
      address: `0x${at.address.toString(16)}`,
      file: null,
      fileOffset: null,
      isKernel: at.isKernel,
      name: null,
      nameOffset: null,
      symbol: null,
      source: null,
    };
    const { file, fileOffset, address, isKernel } = frame;
    // Memory without a file differs in each process. A function is one frame, wherever in it the thread was.
    const owner = fileOffset === null && !isKernel ? (process?.index ?? -1) : file;
    const where = frame.symbol === null ? (fileOffset ?? address) : ` ${frame.symbol}`;
    const key = `${isKernel ? 'k' : 'u'}${where}@${owner}`;
    const known = this.#frameByKey.get(key);
    if (known !== undefined) return known;
    const name = this.#names.nameOf(frame, process);
    const number = this.stacks.addFrame({ name, file, place: BigInt(fileOffset ?? address), isKernel });
    this.#frameByKey.set(key, number);
    return number;
  }

  /** A procfs sample as a stack of one frame: the state and the kernel function that the thread sleeps in. */
  #stateStack({ body }: SampleRecord): number {
    const state = body.raw && decodeProcfsSample(body.raw);
    if (!state) return NO_STACK;
    const where = state.wchan === '' || state.wchan === '0' ? '' : ` ${state.wchan}`;
    const name = `[${String.fromCharCode(state.state)}]${where}`;
    const known = this.#frameByKey.get(name);
    const frame = known ?? this.stacks.addFrame({ name, file: null, place: 0n, isKernel: where !== '' });
    if (known === undefined) this.#frameByKey.set(name, frame);
    return this.stacks.stackOf(NO_STACK, frame);
  }
}

/**
 * Frames by address, of one address space, as long as nothing new is mapped in it and no code is replaced. Queried in
 * time order.
 */
class SpacePlaces {
  readonly #space: AddressMap;
  readonly #frames = new Map<bigint, number>();
  #mappings = 0;
  #epoch = 0;

  constructor(space: AddressMap) {
    this.#space = space;
  }

  /** `epoch` changes when code has been replaced. */
  at(timeNs: bigint, epoch: number): Map<bigint, number> {
    if (epoch !== this.#epoch) this.#frames.clear();
    this.#epoch = epoch;
    const { mappings } = this.#space;
    if (this.#mappings < mappings.length && mappings[this.#mappings]!.timeNs <= timeNs) {
      while (this.#mappings < mappings.length && mappings[this.#mappings]!.timeNs <= timeNs) this.#mappings++;
      this.#frames.clear();
    }
    return this.#frames;
  }
}

const CLOCKS: readonly bigint[] = [0n, 1n];

/** cpu-clock and task-clock count nanoseconds. */
function isClock({ attr }: CaptureEvent): boolean {
  return attr.type === EventType.software && CLOCKS.includes(attr.config);
}

/** The weight of a sample that does not hold its period. */
function fixedWeight(event: CaptureEvent): number {
  const { attr } = event;
  const periodOrFreq = Number(attr.samplePeriodOrFreq);
  if (periodOrFreq === 0) return 1;
  if (!hasFlag(attr, 'freq')) return periodOrFreq;
  return isClock(event) ? Math.round(1e9 / periodOrFreq) : 1;
}
