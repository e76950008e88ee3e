/**
 * How views ask for the symbols of frames; the lookup itself is done elsewhere (symbols/).
 *
 * Invariant: a symbolizer never throws for an address; an unknown one gives undefined.
 */
import type { MappedRange } from './address-map.ts';

/** An address, and what was mapped there at that time. */
export interface FramePlace {
  readonly address: bigint;
  readonly isKernel: boolean;
  /** Whether it is a return address: the call is the instruction before. */
  readonly isReturnAddress: boolean;
  /** Whether it is in a virtual machine. */
  readonly isGuest?: boolean;
  readonly pid: number;
  /** When the thread was there, nanoseconds on the capture's clock; 0: unknown. */
  readonly timeNs: bigint;
  readonly mapping: MappedRange | undefined;
}

export interface SourceLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** The function at an address. */
export interface FrameSymbol {
  /** As its source spells it, without parameters. */
  readonly name: string;
  /** Bytes from its start. */
  readonly offset: number;
  /** As the symbol table or the JIT compiler spells it. */
  readonly symbol: string;
  readonly source: SourceLine | null;
}

export interface Symbolizer {
  nameOf(place: FramePlace): FrameSymbol | undefined;
  /**
   * How many times up to `timeNs` code of the process was replaced: a name holds between two of them. Absent: always.
   */
  epochAt?(pid: number, timeNs: bigint): number;
  /** Which symbols are missing and why: one sentence each, without its full stop. */
  readonly problems: readonly string[];
}
