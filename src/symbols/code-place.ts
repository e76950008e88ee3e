/**
 * Places in code and their symbols: the types that all sources of symbols share. Pure.
 *
 * Invariant: what a place belongs to (a file, the kernel, memory of one process) is decided here only.
 */
import { VDSO_NAME } from '../abi/perf-data.ts';
import type { FoundSymbol, SymbolTable } from './symbol-table.ts';

/** An address of a process or of the kernel, and the mapping there. */
export interface CodePlace {
  readonly address: bigint;
  readonly isKernel: boolean;
  /** It is a return address: the call is the instruction before. */
  readonly isReturnAddress: boolean;
  readonly pid: number;
  /** When a thread was there, nanoseconds on the capture's clock; undefined or 0: unknown. */
  readonly timeNs?: bigint;
  /** In a virtual machine: nothing of this machine names it. */
  readonly isGuest?: boolean;
  readonly mapping:
    | {
        readonly start: bigint;
        readonly end?: bigint;
        readonly fileOffset: bigint;
        readonly file: string;
        readonly buildId: string | null;
        /** Of the file; null or absent: unknown. */
        readonly inode?: bigint | null;
        /** When it was mapped, on the capture's clock; 0 or absent: unknown. */
        readonly timeNs?: bigint;
        readonly isExecutable?: boolean;
      }
    | undefined;
}

/** The function at an address. */
export interface CodeSymbol {
  /** Demangled, without parameters; for JavaScript the function alone. */
  readonly name: string;
  /** Bytes from its start. */
  readonly offset: number;
  /** As the symbol table or the JIT compiler spells it. */
  readonly symbol: string;
  /** Source location, for JIT code whose compiler records it. */
  readonly source: CodeSource | null;
}

export interface CodeSource {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/**
 * Whether the code comes from a file; the rest (anonymous memory, memfd, maps of JIT compilers) was made at run time. A
 * memfd with a build id holds a program.
 */
export function isMappedFile(mapping: CodePlace['mapping']): mapping is NonNullable<CodePlace['mapping']> {
  if (mapping === undefined) return false;
  const { file, buildId } = mapping;
  if (file === VDSO_NAME || (buildId !== null && file.startsWith('/memfd:'))) return true;
  return file.startsWith('/') && !/^(?:\/\/|\/memfd:|\/dev\/|\/tmp\/perf-\d+\.map$)/.test(file);
}

/** Whether it is a memfd, which may hold the code of a JIT compiler or a program. */
export function isMemoryFile({ file }: NonNullable<CodePlace['mapping']>): boolean {
  return file.startsWith('/memfd:');
}

/** The offset in the file that is mapped there. */
export function fileOffsetOf(address: bigint, { start, fileOffset }: NonNullable<CodePlace['mapping']>): number {
  return Number(address - start + fileOffset);
}

/** A signal handler returns to the first byte of these: no call precedes it. */
const SIGNAL_RETURN: ReadonlySet<string> = new Set(['__restore_rt', '__kernel_rt_sigreturn']);
/**
 * The padding before a kernel function: the function was interrupted at its first byte, not called from the padding.
 */
const PADDING = '__pfx_';

/**
 * The symbol of the code at `address`, at `timeNs` if the table has times. A call may be the last instruction of a
 * function that expects no return, so that its return address lies in the next function: the caller is looked up at the
 * byte before the return address.
 */
export function findAt(
  table: SymbolTable,
  address: number,
  { isReturnAddress, timeNs }: Pick<CodePlace, 'isReturnAddress' | 'timeNs'>,
): FoundSymbol | undefined {
  const here = table.find(address, timeNs);
  if (!isReturnAddress || (here !== undefined && SIGNAL_RETURN.has(here.name))) return here;
  const before = table.find(address - 1, timeNs);
  return before === undefined || before.name.startsWith(PADDING) ? here : before;
}
