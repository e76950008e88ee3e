/**
 * A flame graph as numbers: for each event a tree of functions, the outermost at its root, below the names of threads.
 * Samples at switches show where threads slept: their tree is of time asleep. Pure. Invariants: a node's total is its
 * own part and its children's totals; the totals of the roots are those of all samples that were selected.
 */
import type { Capture } from '../perf-data/capture.ts';
import { type CaptureSelection, SelectedPart } from '../perf-data/selection.ts';
import { isSwitchEvent } from '../schedule/switch-stacks.ts';
import type { FrameNames } from './frame-names.ts';
import { type Sample, SampleReader } from './sample-reader.ts';
import { SleepReader } from './sleep-reader.ts';
import { NO_STACK, type StackTable } from './stack-table.ts';
import { threadName } from './thread-labels.ts';

/** A function under one chain of callers. */
export interface CallNode {
  readonly name: string;
  /** The file that it is mapped from; null where that is not known, and for the name of threads. */
  readonly file: string | null;
  /** In the unit of the tree: with all callees, and its own part. */
  total: number;
  self: number;
  /** The largest first. */
  readonly children: CallNode[];
}

export interface CallTree {
  /** The event that was sampled. */
  readonly event: string;
  /** What is counted: samples, or time asleep between a switch that was sampled and the thread's return. */
  readonly unit: 'samples' | 'nanoseconds';
  readonly total: number;
  /** Threads by name. */
  readonly roots: readonly CallNode[];
}

/** The trees of what is selected, one for each event that has something in it, in the order of the events. */
export function callTrees(capture: Capture, names: FrameNames, selection: CaptureSelection): CallTree[] {
  const gathering = new Gathering(capture, names, selection);
  for (let index = 0; index < capture.recordCount; index++) gathering.read(index);
  return gathering.finish();
}

class Gathering {
  readonly #capture: Capture;
  readonly #reader: SampleReader;
  readonly #sleeps: SleepReader;
  /** By event. */
  readonly #trees: (TreeBuilder | undefined)[] = [];

  constructor(capture: Capture, names: FrameNames, selection: CaptureSelection) {
    this.#capture = capture;
    this.#reader = new SampleReader(capture, names);
    const part = new SelectedPart(capture, selection);
    this.#sleeps = new SleepReader(capture, part, this.#reader, (sample, sleptNs) => this.#add(sample, sleptNs));
  }

  read(index: number): void {
    const sample = this.#sleeps.read(index);
    if (sample && !isSwitchEvent(sample.event)) this.#add(sample, 1);
  }

  #add({ event, thread, timeNs, stack }: Sample, amount: number): void {
    this.#trees[event.index] ??= new TreeBuilder(this.#reader.stacks);
    this.#trees[event.index]!.add(threadName(thread, timeNs), stack, amount);
  }

  finish(): CallTree[] {
    this.#sleeps.finish();
    return this.#capture.events.flatMap((event) => {
      const roots = this.#trees[event.index]?.finish();
      if (roots === undefined) return [];
      const total = roots.reduce((sum, root) => sum + root.total, 0);
      return [{ event: event.name, unit: isSwitchEvent(event) ? 'nanoseconds' : 'samples', total, roots }];
    });
  }
}

class TreeBuilder {
  readonly #stacks: StackTable;
  readonly #sums = new Map<string, Map<number, number>>();

  constructor(stacks: StackTable) {
    this.#stacks = stacks;
  }

  add(thread: string, stack: number, amount: number): void {
    let sums = this.#sums.get(thread);
    if (sums === undefined) {
      sums = new Map();
      this.#sums.set(thread, sums);
    }
    sums.set(stack, (sums.get(stack) ?? 0) + amount);
  }

  finish(): CallNode[] {
    const roots = Array.from(this.#sums, ([name, sums]) => {
      const root = new GrowingNode(name, null);
      for (const [stack, amount] of sums) {
        let node = root;
        node.total += amount;
        for (const frame of stack === NO_STACK ? [] : this.#stacks.framesOf(stack)) {
          const { name: function_, file } = this.#stacks.frames[frame]!;
          node = node.child(function_, file);
          node.total += amount;
        }
        node.self += amount;
      }
      return root.finished();
    });
    return roots.sort(byTotal);
  }
}

class GrowingNode {
  total = 0;
  self = 0;
  readonly #name: string;
  readonly #file: string | null;
  readonly #children = new Map<string, GrowingNode>();

  constructor(name: string, file: string | null) {
    this.#name = name;
    this.#file = file;
  }

  child(name: string, file: string | null): GrowingNode {
    const key = `${name}\0${file}`;
    let node = this.#children.get(key);
    if (node === undefined) {
      node = new GrowingNode(name, file);
      this.#children.set(key, node);
    }
    return node;
  }

  /** With all below it. Not recursive: kernel.perf_event_max_stack allows stacks deeper than the engine's own. */
  finished(): CallNode {
    const root = this.#bare();
    const open: [GrowingNode, CallNode][] = [[this, root]];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const [growing, node] = next;
      for (const child of growing.#children.values()) {
        const bare = child.#bare();
        node.children.push(bare);
        open.push([child, bare]);
      }
      node.children.sort(byTotal);
    }
    return root;
  }

  #bare(): CallNode {
    return { name: this.#name, file: this.#file, total: this.total, self: this.self, children: [] };
  }
}

function byTotal(a: CallNode, b: CallNode): number {
  return b.total - a.total || (a.name < b.name ? -1 : 1);
}
