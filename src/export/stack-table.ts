/**
 * Stacks as a tree: a stack is a frame and the stack of its caller, so that common callers are stored once.
 * Invariant: a caller has a lower number than its callee, and two stacks of the same frames have one number.
 */
import { assert } from '../base/error.ts';

/** A frame as the formats need it. */
export interface TabledFrame {
  readonly name: string;
  /** What is mapped there, as the kernel names it; null when that is not known. */
  readonly file: string | null;
  /** Offset in the file, else the address. */
  readonly place: bigint;
  readonly isKernel: boolean;
}

/** The caller of an outermost frame; the stack of a sample that has none. */
export const NO_STACK = -1;

/** Stacks and frames share one key: 26 bits of frame below 27 of stack. */
const MOST_FRAMES = 2 ** 26;
const MOST_STACKS = 2 ** 27 - 1;

export class StackTable {
  readonly frames: TabledFrame[] = [];
  /** By stack: the caller's stack, and the number of the frame. */
  readonly callers: number[] = [];
  readonly innermost: number[] = [];
  readonly #stackByKey = new Map<number, number>();

  get stackCount(): number {
    return this.callers.length;
  }

  addFrame(frame: TabledFrame): number {
    assert(this.frames.length < MOST_FRAMES, 'frames fit into the key of a stack');
    return this.frames.push(frame) - 1;
  }

  /** The stack of `frame`, called from the stack `caller`. */
  stackOf(caller: number, frame: number): number {
    const key = (caller + 1) * MOST_FRAMES + frame;
    const known = this.#stackByKey.get(key);
    if (known !== undefined) return known;
    const stack = this.callers.push(caller) - 1;
    assert(stack < MOST_STACKS, 'stacks fit into their key');
    this.innermost.push(frame);
    this.#stackByKey.set(key, stack);
    return stack;
  }

  /** The numbers of a stack's frames, outermost first. */
  framesOf(stack: number): number[] {
    const frames: number[] = [];
    for (let at = stack; at !== NO_STACK; at = this.callers[at]!) frames.push(this.innermost[at]!);
    return frames.reverse();
  }
}
