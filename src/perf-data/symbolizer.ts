/**
 * Names for the addresses of a capture, by whoever knows them: this room asks, and does no looking up itself.
 * Invariant: a namer never throws for an address; what it does not know is undefined.
 */
import type { MappedRange } from './address-map.ts';

/** An address, and what was mapped there at the time. */
export interface FramePlace {
  readonly address: bigint;
  readonly isKernel: boolean;
  /** Whether it is where a call returns to: what called is the instruction before. */
  readonly isReturnAddress: boolean;
  readonly pid: number;
  /** When the thread was there, nanoseconds on the capture's clock; 0 when that is not known. */
  readonly timeNs: bigint;
  readonly mapping: MappedRange | undefined;
}

export interface SourceLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** What stands at an address. */
export interface FrameSymbol {
  /** As its source spells it, without parameters. */
  readonly name: string;
  /** Bytes from where it begins. */
  readonly offset: number;
  /** As the symbol table or the JIT compiler spells it. */
  readonly symbol: string;
  readonly source: SourceLine | null;
}

export interface Symbolizer {
  nameOf(place: FramePlace): FrameSymbol | undefined;
  /** In how many moments until `timeNs` code of the process was replaced: between two of them a name holds. Without it, it always does. */
  epochAt?(pid: number, timeNs: bigint): number;
  /** What could not be named so far, and why: a sentence each, without its full stop. */
  readonly problems: readonly string[];
}
