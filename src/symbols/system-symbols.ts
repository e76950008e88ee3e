/**
 * Names for addresses of a capture, from what is on this machine: files and their debug files, the running kernel, the
 * vdso, the maps that JIT compilers leave. Everything is looked for when the first address asks for it, and kept.
 * Invariants: what is not known to be what was recorded gives no names, and `problems` says so, a sentence each; the tables
 * that are kept, but for the kernel's and those in use, take no more than `memoryBytes`.
 */
import { readFileSync } from 'node:fs';
import { homedir, release } from 'node:os';
import { buildIdInNotes } from '../abi/elf-note.ts';
import { KERNEL_DSO_NAME, VDSO_NAME } from '../abi/perf-data.ts';
import { parseMaps } from '../linux/proc.ts';
import type { SymbolPlaces } from './debug-files.ts';
import { demangled } from './demangler.ts';
import { ElfImage } from './elf-image.ts';
import { elfSymbolTable } from './elf-symbols.ts';
import { withoutParameters } from './function-name.ts';
import { JavaScriptNames } from './javascript-names.ts';
import { jitMapText } from './jit-map.ts';
import { type KernelSymbols, kernelSymbols } from './kallsyms.ts';
import { attempt, ownMemory, textPieces } from './local-file.ts';
import { perfMapTable } from './perf-map.ts';
import { type FileSearch, findNamedFile } from './symbol-files.ts';
import { type FoundSymbol, kernelNumber, type SymbolTable } from './symbol-table.ts';
import { TableCache } from './table-cache.ts';

/** What the capture says of the system that it was recorded on. */
export interface RecordedSystem {
  readonly osrelease: string | null;
  /** Build ids by file, lower-case hexadecimal. */
  readonly buildIds: ReadonlyMap<string, string>;
  /** By which symbol, at which address, the kernel's place was recorded; null when it was not. */
  readonly kernelReference: { readonly symbol: string; readonly address: bigint } | null;
}

/** An address of a process or of the kernel, and what was mapped there. */
export interface CodePlace {
  readonly address: bigint;
  readonly isKernel: boolean;
  /** The instruction behind a call: what called is the instruction before. */
  readonly isReturnAddress: boolean;
  readonly pid: number;
  readonly mapping:
    | { readonly start: bigint; readonly fileOffset: bigint; readonly file: string; readonly buildId: string | null }
    | undefined;
}

/** What stands at an address. */
export interface CodeName {
  /** Demangled, without parameters; of JavaScript the function alone. */
  readonly name: string;
  /** Bytes from where it begins. */
  readonly offset: number;
  /** As the symbol table or the JIT compiler spells it. */
  readonly symbol: string;
  /** Where it is written, for code of a JIT compiler that says so. */
  readonly source: { readonly file: string; readonly line: number } | null;
}

export interface SystemSymbolsOptions {
  readonly memoryBytes?: number;
  readonly places?: SymbolPlaces;
}

const MEMORY_BYTES = 512 * 1024 ** 2;

export class SystemSymbols {
  /** What could not be named, and why: one sentence each, without its full stop. */
  readonly problems: string[] = [];
  readonly #recorded: RecordedSystem;
  readonly #places: SymbolPlaces;
  readonly #files: TableCache<FileSearch>;
  readonly #jitMaps: TableCache<SymbolTable | undefined>;
  readonly #javaScript = new JavaScriptNames();
  /** Names by symbol: the same few are met again and again. */
  readonly #shortNames = new Map<string, string>();
  #kernel: { symbols: KernelSymbols; movedBy: bigint } | null | undefined;

  constructor(recorded: RecordedSystem, options: SystemSymbolsOptions = {}) {
    this.#recorded = recorded;
    this.#places = options.places ?? placesOfUser(process.env);
    const { memoryBytes = MEMORY_BYTES } = options;
    this.#files = new TableCache(memoryBytes / 2);
    this.#jitMaps = new TableCache(memoryBytes / 2);
  }

  /** The name of what stands at `place`; undefined when it is not known. */
  nameOf(place: CodePlace): CodeName | undefined {
    if (place.isKernel) return this.#kernelName(place);
    return isMappedFile(place.mapping) ? this.#fileName(place, place.mapping) : this.#jitName(place);
  }

  #kernelName(place: CodePlace): CodeName | undefined {
    if (this.#kernel === undefined) this.#kernel = this.#openKernel();
    if (this.#kernel === null) return undefined;
    const { symbols, movedBy } = this.#kernel;
    // Modules are loaded where there is room: only in the same boot are they where they were.
    const isModule = place.mapping !== undefined && !place.mapping.file.startsWith(KERNEL_DSO_NAME);
    if (movedBy !== 0n && isModule) return undefined;
    const address = kernelNumber(place.address + movedBy);
    return address === undefined ? undefined : this.#nativeName(symbols.table, address, place);
  }

  #openKernel(): { symbols: KernelSymbols; movedBy: bigint } | null {
    const { osrelease, buildIds, kernelReference } = this.#recorded;
    if (kernelReference === null) return this.#noKernel('the capture does not say where the kernel was');
    const recordedId = buildIds.get(KERNEL_DSO_NAME);
    const isSame =
      recordedId === undefined ? osrelease === release() : recordedId === kernelBuildId() || osrelease === null;
    if (!isSame) return this.#noKernel('it was recorded under another kernel than the one that runs here');
    const symbols = kernelSymbols(textPieces('/proc/kallsyms'));
    const address = symbols?.references.get(kernelReference.symbol);
    if (symbols === undefined || address === undefined)
      return this.#noKernel('the kernel hides its symbols here (sysctl kernel.kptr_restrict)');
    return { symbols, movedBy: address - kernelReference.address };
  }

  #noKernel(reason: string): null {
    this.problems.push(`kernel functions have no names: ${reason}`);
    return null;
  }

  #fileName(place: CodePlace, mapping: NonNullable<CodePlace['mapping']>): CodeName | undefined {
    const file = this.#file(
      mapping.file,
      mapping.buildId ?? this.#recorded.buildIds.get(mapping.file) ?? null,
      place.pid,
    );
    if (typeof file === 'string') return undefined;
    const address = file.image.addressOf(Number(place.address - mapping.start + mapping.fileOffset));
    return address === undefined ? undefined : this.#nativeName(file.table, address, place);
  }

  #file(path: string, buildId: string | null, pid: number): FileSearch {
    const find = (): FileSearch => {
      const found = path === VDSO_NAME ? this.#vdso(buildId) : findNamedFile(path, buildId, pid, this.#places);
      if (typeof found === 'string') this.problems.push(`no names from ${path}: ${WHY_NONE[found]}`);
      return found;
    };
    return this.#files.get(`${buildId} ${path}`, find, (found) => (typeof found === 'string' ? 0 : found.table.bytes));
  }

  /** The vdso is part of the kernel, and the same in all processes of 64 bits: this one's own will do. */
  #vdso(buildId: string | null): FileSearch {
    if (this.#recorded.osrelease !== release()) return 'another-file';
    const entry = parseMaps(readFileSync('/proc/self/maps', 'latin1')).find(({ path }) => path === VDSO_NAME);
    const bytes = entry && ownMemory(Number(entry.start), Number(entry.end - entry.start));
    const image = bytes && ElfImage.parse((offset, length) => bytes.subarray(offset, offset + length));
    if (image === undefined) return 'absent';
    if (buildId !== null && image.buildId !== buildId) return 'another-file';
    return { image, table: elfSymbolTable(image) };
  }

  #nativeName(table: SymbolTable, address: number, { isReturnAddress }: CodePlace): CodeName | undefined {
    const found = findAt(table, address, isReturnAddress);
    if (found === undefined) return undefined;
    const { start, name: symbol } = found;
    const name = this.#shortNames.get(symbol) ?? withoutParameters(demangled(symbol));
    this.#shortNames.set(symbol, name);
    return { name, offset: address - start, symbol, source: null };
  }

  #jitName(place: CodePlace): CodeName | undefined {
    const address = Number(place.address);
    const table = this.#jitMaps.get(
      `${place.pid}`,
      () => this.#jitMap(place.pid),
      (found) => found?.bytes ?? 0,
    );
    const found = table && findAt(table, address, place.isReturnAddress);
    if (found === undefined) return undefined;
    const script = this.#javaScript.nameOf(found.name) ?? { name: found.name, source: null };
    return { ...script, offset: address - found.start, symbol: found.name };
  }

  #jitMap(pid: number): SymbolTable | undefined {
    const text = jitMapText(pid);
    if (text !== 'not-trusted') return text === undefined ? undefined : perfMapTable(text);
    this.problems.push(`the names that a JIT compiler left for process ${pid} belong to another user`);
    return undefined;
  }
}

const WHY_NONE: Readonly<Record<Exclude<FileSearch, object>, string>> = {
  absent: 'it cannot be read here',
  'another-file': 'it is not the file that was recorded',
  'no-symbols': 'it has no symbols',
};

/** Code with a file behind it; the rest (anonymous memory, memory files, maps of JIT compilers) was made at run time. */
function isMappedFile(mapping: CodePlace['mapping']): mapping is NonNullable<CodePlace['mapping']> {
  if (mapping === undefined) return false;
  const { file } = mapping;
  if (file === VDSO_NAME) return true;
  return file.startsWith('/') && !/^(?:\/\/|\/memfd:|\/dev\/|\/tmp\/perf-\d+\.map$)/.test(file);
}

/** What a handler returns to when its signal is over: nothing called it from the byte before. */
const SIGNAL_RETURN: ReadonlySet<string> = new Set(['__restore_rt', '__kernel_rt_sigreturn']);
/** The padding before a function of the kernel: a function that was interrupted at its first byte, not called from there. */
const PADDING = '__pfx_';

/**
 * A call may be the last instruction of a function that expects no return: what is behind it belongs to the next function.
 * So the caller is what stands before the return address.
 */
function findAt(table: SymbolTable, address: number, isReturnAddress: boolean): FoundSymbol | undefined {
  const here = table.find(address);
  if (!isReturnAddress || (here !== undefined && (here.start < address || SIGNAL_RETURN.has(here.name)))) return here;
  const before = table.find(address - 1);
  return before === undefined || before.name.startsWith(PADDING) ? here : before;
}

function kernelBuildId(): string | undefined {
  const id = attempt(() => buildIdInNotes(readFileSync('/sys/kernel/notes')));
  return id && Buffer.from(id).toString('hex');
}

function placesOfUser(env: NodeJS.ProcessEnv): SymbolPlaces {
  return {
    home: attempt(homedir) ?? null,
    debuginfodCache: env.DEBUGINFOD_CACHE_PATH || null,
    cacheHome: env.XDG_CACHE_HOME || null,
  };
}
