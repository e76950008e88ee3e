/**
 * Names for the addresses of a capture, by whoever knows them: this room asks, and does no looking up itself.
 * Invariant: a namer never throws for an address; what it does not know is undefined.
 */
import type { Mapping } from './address-space.ts';
import type { Capture } from './capture.ts';
import { type ProcessEntry, spaceAt } from './task-table.ts';

/** An address, and what was mapped there at the time. */
export interface FramePlace {
  readonly address: bigint;
  readonly isKernel: boolean;
  /** Whether it is where a call returns to: what called is the instruction before. */
  readonly isReturnAddress: boolean;
  readonly pid: number;
  /** When the thread was there, nanoseconds on the capture's clock; 0 when that is not known. */
  readonly timeNs: bigint;
  readonly mapping: Mapping | undefined;
}

export interface SourceLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** What stands at an address. */
export interface FrameName {
  /** As its source spells it, without parameters. */
  readonly name: string;
  /** Bytes from where it begins. */
  readonly offset: number;
  /** As the symbol table or the JIT compiler spells it. */
  readonly symbol: string;
  readonly source: SourceLine | null;
}

export interface FrameNamer {
  nameOf(place: FramePlace): FrameName | undefined;
  /** In how many moments until `timeNs` code of the process was replaced: between two of them a name holds. Without it, it always does. */
  epochAt?(pid: number, timeNs: bigint): number;
  /** What could not be named so far, and why: a sentence each, without its full stop. */
  readonly problems: readonly string[];
}

/** Names by address alone, for whoever has no stack at hand. */
export interface SymbolResolver {
  /** `isReturnAddress`: for every frame of a stack but those where the thread was, or entered the kernel from. */
  nameOf(
    pid: number,
    timeNs: bigint,
    address: bigint,
    isKernel: boolean,
    isReturnAddress?: boolean,
  ): FrameName | undefined;
}

/** A resolver that finds out what was mapped and asks `namer`. */
export function symbolResolver(capture: Capture, namer: FrameNamer): SymbolResolver {
  const { processes, kernelSpace } = capture.tasks;
  const byPid = new Map<number, ProcessEntry[]>();
  for (const process of processes) {
    const known = byPid.get(process.pid);
    if (known) known.push(process);
    else byPid.set(process.pid, [process]);
  }
  return {
    nameOf(pid, timeNs, address, isKernel, isReturnAddress = false) {
      const process = aliveAt(byPid.get(pid) ?? [], timeNs);
      const space = isKernel ? kernelSpace : process && spaceAt(process, timeNs);
      return namer.nameOf({ address, isKernel, isReturnAddress, pid, timeNs, mapping: space?.find(address, timeNs) });
    },
  };
}

/** The incarnation of a pid that there was at `timeNs`; they are in order of their first records. */
function aliveAt(incarnations: readonly ProcessEntry[], timeNs: bigint): ProcessEntry | undefined {
  return incarnations.findLast(({ startNs }) => startNs === null || startNs <= timeNs) ?? incarnations[0];
}
