/**
 * Places in code, and what is said of them: the words that all who know names share. Pure.
 * Invariant: where a place belongs (a file, the kernel, memory of one process) is decided here and nowhere else.
 */
import { VDSO_NAME } from '../abi/perf-data.ts';
import type { FoundSymbol, SymbolTable } from './symbol-table.ts';

/** An address of a process or of the kernel, and what was mapped there. */
export interface CodePlace {
  readonly address: bigint;
  readonly isKernel: boolean;
  /** The instruction behind a call: what called is the instruction before. */
  readonly isReturnAddress: boolean;
  readonly pid: number;
  /** When a thread was there, nanoseconds on the capture's clock; undefined or 0: not known. */
  readonly timeNs?: bigint;
  readonly mapping:
    | { readonly start: bigint; readonly fileOffset: bigint; readonly file: string; readonly buildId: string | null }
    | undefined;
}

/** What stands at an address. */
export interface CodeSymbol {
  /** Demangled, without parameters; of JavaScript the function alone. */
  readonly name: string;
  /** Bytes from where it begins. */
  readonly offset: number;
  /** As the symbol table or the JIT compiler spells it. */
  readonly symbol: string;
  /** Where it is written, for code of a JIT compiler that says so. */
  readonly source: CodeSource | null;
}

export interface CodeSource {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** Code with a file behind it; the rest (anonymous memory, memory files, maps of JIT compilers) was made at run time. */
export function isMappedFile(mapping: CodePlace['mapping']): mapping is NonNullable<CodePlace['mapping']> {
  if (mapping === undefined) return false;
  const { file } = mapping;
  if (file === VDSO_NAME) return true;
  return file.startsWith('/') && !/^(?:\/\/|\/memfd:|\/dev\/|\/tmp\/perf-\d+\.map$)/.test(file);
}

/** The offset in the file that is mapped there. */
export function fileOffsetOf(address: bigint, { start, fileOffset }: NonNullable<CodePlace['mapping']>): number {
  return Number(address - start + fileOffset);
}

/** What a handler returns to when its signal is over: nothing called it from the byte before. */
const SIGNAL_RETURN: ReadonlySet<string> = new Set(['__restore_rt', '__kernel_rt_sigreturn']);
/** The padding before a function of the kernel: a function that was interrupted at its first byte, not called from there. */
const PADDING = '__pfx_';

/**
 * The symbol of the code at `address`, as it was at `timeNs` where the table knows times. A call may be the last instruction of a
 * function that expects no return: what is behind it belongs to the next function. So the caller is what stands before the
 * return address.
 */
export function findAt(
  table: SymbolTable,
  address: number,
  { isReturnAddress, timeNs }: Pick<CodePlace, 'isReturnAddress' | 'timeNs'>,
): FoundSymbol | undefined {
  const here = table.find(address, timeNs);
  if (!isReturnAddress || (here !== undefined && (here.start < address || SIGNAL_RETURN.has(here.name)))) return here;
  const before = table.find(address - 1, timeNs);
  return before === undefined || before.name.startsWith(PADDING) ? here : before;
}
