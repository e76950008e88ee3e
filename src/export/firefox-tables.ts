/**
 * The tables of a Firefox profile as they grow: columns of equal length. Invariant: `length` is that of every column.
 */
import type { ThreadEntry } from '../perf-data/task-table.ts';
import type { SchedState } from '../schedule/change-table.ts';
import { Category } from './firefox-schema.ts';
import type { SampleReader } from './sample-reader.ts';

/** MarkerPhase. */
const INSTANT = 0;
const INTERVAL = 1;

/** Texts and their numbers. */
export class StringIndex {
  readonly texts: string[] = [];
  readonly #indexOf = new Map<string, number>();

  index(text: string): number {
    const known = this.#indexOf.get(text);
    if (known !== undefined) return known;
    const index = this.texts.push(text) - 1;
    this.#indexOf.set(text, index);
    return index;
  }
}

/** The samples and markers of one thread. */
export class ThreadTrack {
  readonly thread: ThreadEntry | undefined;
  readonly markers = {
    data: [] as object[],
    name: [] as number[],
    startTime: [] as number[],
    endTime: [] as (number | null)[],
    phase: [] as number[],
    category: [] as number[],
    length: 0,
  };
  /** Its state and since when; undefined before its first change. */
  state: SchedState | undefined;
  sinceNs = 0n;
  /** The stack sampled as it went off its CPU; undefined on a CPU, or without one. */
  sleepStack: number | undefined;
  readonly #stack: (number | null)[] = [];
  readonly #time: number[] = [];
  /** Null where some of the time since the last sample is unknown. */
  readonly #cpuDelta: (number | null)[] = [];
  #hasUnknown = false;
  /** Time on a CPU up to the last sample or change of state; and up to the last sample. */
  #onCpuNs = 0;
  #sampledOnCpuNs = 0;

  constructor(thread: ThreadEntry | undefined) {
    this.thread = thread;
  }

  get isEmpty(): boolean {
    return this.#stack.length === 0 && this.markers.length === 0;
  }

  sample(stack: number | null, atMs: number, timeNs: bigint): void {
    this.#stack.push(stack);
    this.#time.push(atMs);
    const onCpuNs = this.#onCpuNs + (this.state === 'running' ? Number(timeNs - this.sinceNs) : 0);
    const isUnknown = this.#hasUnknown || this.state === undefined || this.state === 'unknown';
    this.#cpuDelta.push(isUnknown ? null : Math.max(0, onCpuNs - this.#sampledOnCpuNs));
    this.#hasUnknown = false;
    this.#sampledOnCpuNs = Math.max(onCpuNs, this.#sampledOnCpuNs);
  }

  enter(state: SchedState, timeNs: bigint, sleepStack?: number): void {
    if (this.state === 'unknown' && timeNs > this.sinceNs) this.#hasUnknown = true;
    if (this.state === 'running') this.#onCpuNs += Number(timeNs - this.sinceNs);
    this.state = state;
    this.sinceNs = timeNs;
    this.sleepStack = sleepStack;
  }

  /** An instant when `endMs` is null. */
  mark(name: number, startMs: number, endMs: number | null, category: number, data: object): void {
    const { markers } = this;
    markers.name.push(name);
    markers.startTime.push(startMs);
    markers.endTime.push(endMs);
    markers.phase.push(endMs === null ? INSTANT : INTERVAL);
    markers.category.push(category);
    markers.data.push(data);
    markers.length++;
  }

  sampleTable(hasCpuTimes: boolean): object {
    return {
      stack: this.#stack,
      time: this.#time,
      ...(hasCpuTimes ? { threadCPUDelta: this.#cpuDelta } : {}),
      weight: null,
      weightType: 'samples',
      length: this.#stack.length,
    };
  }
}

/** Numbers that were reused are made unique: `123`, `123.1`. */
export class UniqueIds {
  readonly #pids = new Map<number, number[]>();
  readonly #tids = new Map<number, number>();

  pid(thread: ThreadEntry | undefined): string {
    if (thread === undefined) return '-1';
    const { pid, index } = thread.process;
    const same = this.#pids.get(pid) ?? [];
    this.#pids.set(pid, same);
    if (!same.includes(index)) same.push(index);
    return numbered(pid, same.indexOf(index));
  }

  tid(thread: ThreadEntry | undefined): number | string {
    if (thread === undefined) return -1;
    const earlier = this.#tids.get(thread.tid) ?? 0;
    this.#tids.set(thread.tid, earlier + 1);
    return earlier === 0 ? thread.tid : numbered(thread.tid, earlier);
  }
}

function numbered(id: number, earlier: number): string {
  return earlier === 0 ? `${id}` : `${id}.${earlier}`;
}

/** The files that the frames lie in. */
export function codeFilesOf({ stacks }: SampleReader): string[] {
  return [...new Set(stacks.frames.flatMap(({ file }) => (file === null ? [] : [file])))];
}

/** ResourceType: a library. */
const LIBRARY = 1;

/** A function for each name in a file, a resource for each file. */
export function codeTables(reader: SampleReader, strings: StringIndex) {
  const { frames } = reader.stacks;
  const files = codeFilesOf(reader);
  const fileIndex = new Map(files.map((file, index) => [file, index]));
  const functionIndex = new Map<string, number>();
  const names: number[] = [];
  const resources: number[] = [];
  const func = frames.map(({ name, file }) => {
    const key = `${name}\0${file}`;
    const known = functionIndex.get(key);
    if (known !== undefined) return known;
    functionIndex.set(key, names.length);
    resources.push(file === null ? -1 : fileIndex.get(file)!);
    return names.push(strings.index(name)) - 1;
  });
  const all = <T>(count: number, value: T): T[] => new Array<T>(count).fill(value);
  const frameTable = {
    address: frames.map(({ file, place }) => (file === null || place > MOST_ADDRESS ? -1 : Number(place))),
    inlineDepth: all(frames.length, 0),
    category: frames.map(({ isKernel }) => (isKernel ? Category.kernel : Category.user)),
    subcategory: all(frames.length, 0),
    func,
    nativeSymbol: all(frames.length, null),
    innerWindowID: all(frames.length, null),
    line: all(frames.length, null),
    column: all(frames.length, null),
  };
  const funcTable = {
    name: names,
    isJS: all(names.length, false),
    relevantForJS: all(names.length, false),
    resource: resources,
    source: all(names.length, null),
    lineNumber: all(names.length, null),
    columnNumber: all(names.length, null),
    length: names.length,
  };
  const resourceTable = {
    lib: files.map((_, index) => index),
    name: files.map((file) => strings.index(baseName(file))),
    host: all(files.length, null),
    type: all(files.length, LIBRARY),
    length: files.length,
  };
  return { frameTable, funcTable, resourceTable };
}

/** The last part of a path, which a viewer shows beside a function. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1) || path;
}

/** Offsets in files are small; larger ones are addresses of kernel text, which a double does not hold. */
const MOST_ADDRESS = 2n ** 32n - 1n;

/** A build id as breakpad writes it: the first 16 bytes as a GUID of little-endian fields, and an age of 0. */
export function breakpadId(buildId: string | null): string {
  if (buildId === null) return '';
  const bytes = buildId.padEnd(32, '0').slice(0, 32).match(/../g)!;
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return `${order
    .map((at) => bytes[at])
    .join('')
    .toUpperCase()}0`;
}
