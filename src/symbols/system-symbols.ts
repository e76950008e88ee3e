/**
 * Symbols from this machine for addresses of a capture: files and their debug files, the running kernel, the vDSO, maps
 * and dumps of JIT compilers. Each is opened when the first address needs it, and kept.
 *
 * Invariants: a source that is not known to be the recorded one gives no symbols, and `problems` reports it, one
 * sentence each; the tables kept, except the kernel's and those in use, take at most `memoryBytes`.
 */
import { readFileSync } from 'node:fs';
import { homedir, release } from 'node:os';
import { buildIdInNotes } from '../abi/elf-note.ts';
import { KERNEL_DSO_NAME, VDSO_NAME } from '../abi/perf-data.ts';
import { parseMaps } from '../linux/proc.ts';
import { type CodePlace, fileOffsetOf, findAt, isMappedFile } from './code-place.ts';
import type { SymbolPlaces } from './debug-files.ts';
import { ElfImage } from './elf-image.ts';
import { elfSymbolTable } from './elf-symbols.ts';
import { JavaScriptSymbols } from './javascript-symbols.ts';
import { type JitCode, jitDumpCode } from './jit-dump.ts';
import { type Distrust, isJitDump, jitMapText, withJitDump } from './jit-files.ts';
import { type KernelSymbols, kernelSymbols } from './kallsyms.ts';
import { attempt, ownMemory, textPieces } from './local-file.ts';
import { NativeSymbols } from './native-symbols.ts';
import { perfMapTable } from './perf-map.ts';
import { type FileSearch, findSymbolFile } from './symbol-files.ts';
import type { LocatedSymbol } from './symbol-harvest.ts';
import { type FoundSymbol, kernelNumber, type SymbolTable } from './symbol-table.ts';
import { TableCache } from './table-cache.ts';

/** The system that the capture was recorded on. */
export interface RecordedSystem {
  readonly osrelease: string | null;
  /** Build ids by file, lower-case hexadecimal. */
  readonly buildIds: ReadonlyMap<string, string>;
  /** Symbol and address by which the place of the kernel was recorded; null when it was not. */
  readonly kernelReference: { readonly symbol: string; readonly address: bigint } | null;
  /** Dumps of JIT compilers that processes mapped, by pid, oldest first. */
  readonly jitDumps?: ReadonlyMap<number, readonly string[]>;
  /** Whether its times are CLOCK_MONOTONIC, as those of the dumps. */
  readonly isMonotonic?: boolean;
  readonly hostname?: string | null;
  /** When the last record was written, milliseconds since the epoch; null: unknown. */
  readonly endWallMs?: number | null;
}

export { isJitDump };

export interface SystemSymbolsOptions {
  readonly memoryBytes?: number;
  readonly places?: SymbolPlaces;
  /** Whether the capture was just made here: a process with a recorded PID is the recorded process. */
  readonly isRecent?: boolean;
}

const MEMORY_BYTES = 512 * 1024 ** 2;

export class SystemSymbols {
  /** Which symbols are missing and why: one sentence each, without its full stop. */
  readonly problems: string[] = [];
  readonly #recorded: RecordedSystem;
  readonly #places: SymbolPlaces;
  readonly #isRecent: boolean;
  readonly #files: TableCache<FileSearch>;
  readonly #jitMaps: TableCache<SymbolTable | undefined>;
  readonly #jitDumps: TableCache<JitCode | undefined>;
  readonly #javaScript = new JavaScriptSymbols();
  readonly #nativeNames = new NativeSymbols();
  #kernel: { symbols: KernelSymbols; movedBy: bigint } | null | undefined;

  constructor(recorded: RecordedSystem, options: SystemSymbolsOptions = {}) {
    this.#recorded = recorded;
    this.#places = options.places ?? placesOfUser(process.env);
    const { memoryBytes = MEMORY_BYTES, isRecent = false } = options;
    this.#isRecent = isRecent;
    this.#files = new TableCache(memoryBytes / 2);
    this.#jitMaps = new TableCache(memoryBytes / 4);
    this.#jitDumps = new TableCache(memoryBytes / 4);
  }

  /** The symbol at `place` with its piece of code; undefined when unknown. */
  nameOf(place: CodePlace): LocatedSymbol | undefined {
    if (place.isKernel) return this.#kernelName(place);
    return isMappedFile(place.mapping)
      ? this.#fileName(place, place.mapping)
      : (this.#dumpedName(place) ?? this.#mapName(place));
  }

  /** The recorded build ids by file. */
  get buildIds(): ReadonlyMap<string, string> {
    return this.#recorded.buildIds;
  }

  /** The recorded build id of the mapping. */
  buildIdOf({ mapping }: CodePlace): string | null {
    return mapping?.buildId ?? this.#recorded.buildIds.get(mapping?.file ?? '') ?? null;
  }

  /** How many times up to `timeNs` code of the process was replaced: a name holds between two of them. */
  epochAt(pid: number, timeNs: bigint): number {
    return this.#recorded.jitDumps?.has(pid) ? (this.#dump(pid)?.table.changesUntil(timeNs) ?? 0) : 0;
  }

  #kernelName(place: CodePlace): LocatedSymbol | undefined {
    if (this.#kernel === undefined) this.#kernel = this.#openKernel();
    if (this.#kernel === null) return undefined;
    const { symbols, movedBy } = this.#kernel;
    // Modules are loaded at free addresses: only in the same boot do they stay where they were.
    const isModule = place.mapping !== undefined && !place.mapping.file.startsWith(KERNEL_DSO_NAME);
    if (movedBy !== 0n && isModule) return undefined;
    const address = kernelNumber(place.address + movedBy);
    if (address === undefined) return undefined;
    return this.#nativeName(symbols.table, address, place, { kind: 'kernel' }, address - Number(movedBy));
  }

  #openKernel(): { symbols: KernelSymbols; movedBy: bigint } | null {
    const { osrelease, buildIds, kernelReference } = this.#recorded;
    if (kernelReference === null) return this.#noKernel('the capture does not record where the kernel was');
    const recordedId = buildIds.get(KERNEL_DSO_NAME);
    const isSame =
      recordedId === undefined ? osrelease === release() : recordedId === kernelBuildId() || osrelease === null;
    if (!isSame) return this.#noKernel('it was recorded under another kernel than the running one');
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

  #fileName(place: CodePlace, mapping: NonNullable<CodePlace['mapping']>): LocatedSymbol | undefined {
    const buildId = this.buildIdOf(place);
    const file = this.#file(mapping.file, buildId, place.pid);
    if (typeof file === 'string') return undefined;
    const fileOffset = fileOffsetOf(place.address, mapping);
    const address = file.image.addressOf(fileOffset);
    if (address === undefined) return undefined;
    return this.#nativeName(file.table, address, place, { kind: 'file', file: mapping.file, buildId }, fileOffset);
  }

  #file(path: string, buildId: string | null, pid: number): FileSearch {
    const find = (): FileSearch => {
      const found =
        path === VDSO_NAME
          ? this.#vdso(buildId)
          : findSymbolFile({ path, buildId, pid, isRecent: this.#isRecent }, this.#places);
      if (typeof found === 'string') this.problems.push(`no names from ${path}: ${WHY_NONE[found]}`);
      return found;
    };
    return this.#files.get(`${buildId} ${path}`, find, (found) => (typeof found === 'string' ? 0 : found.table.bytes));
  }

  /** The vDSO is part of the kernel and the same in all 64-bit processes: that of this process serves. */
  #vdso(buildId: string | null): FileSearch {
    if (this.#recorded.osrelease !== release()) return 'another-file';
    const entry = parseMaps(readFileSync('/proc/self/maps', 'latin1')).find(({ path }) => path === VDSO_NAME);
    const bytes = entry && ownMemory(Number(entry.start), Number(entry.end - entry.start));
    const image = bytes && ElfImage.parse((offset, length) => bytes.subarray(offset, offset + length));
    if (image === undefined) return 'absent';
    if (buildId !== null && image.buildId !== buildId) return 'another-file';
    return { image, table: elfSymbolTable(image) };
  }

  /** `address` is relative to the table, `counted` to the space. */
  #nativeName(
    table: SymbolTable,
    address: number,
    place: CodePlace,
    space: LocatedSymbol['space'],
    counted: number,
  ): LocatedSymbol | undefined {
    const found = findAt(table, address, place);
    if (found === undefined) return undefined;
    const { start, end, name: symbol } = found;
    const offset = address - start;
    const name = this.#nativeNames.nameOf(symbol);
    return { name, offset, symbol, source: null, space, start: counted - offset, bytes: end - start, since: 0n };
  }

  #dumpedName(place: CodePlace): LocatedSymbol | undefined {
    const code = this.#dump(place.pid);
    const found = code && findAt(code.table, Number(place.address), place);
    if (found === undefined) return undefined;
    const { index, start } = found;
    const script = this.#javaScript.nameOf(found.name) ?? { name: found.name, source: code?.sourceOf(index) ?? null };
    const space = { kind: 'jitdump', pid: place.pid } as const;
    return { ...script, ...pieceOf(found), offset: Number(place.address) - start, space };
  }

  #mapName(place: CodePlace): LocatedSymbol | undefined {
    const table = this.#jitMaps.get(
      `${place.pid}`,
      () => this.#jitMap(place.pid),
      (found) => found?.bytes ?? 0,
    );
    const found = table && findAt(table, Number(place.address), place);
    if (found === undefined) return undefined;
    const script = this.#javaScript.nameOf(found.name) ?? { name: found.name, source: null };
    const space = { kind: 'jit', pid: place.pid } as const;
    return { ...script, ...pieceOf(found), offset: Number(place.address) - found.start, space };
  }

  #jitMap(pid: number): SymbolTable | undefined {
    const { hostname = null, endWallMs = null } = this.#recorded;
    const map = jitMapText(pid, { hostname, endWallMs });
    if (typeof map === 'string') this.#distrust(pid, map);
    return typeof map === 'object' ? perfMapTable(map.text) : undefined;
  }

  #dump(pid: number): JitCode | undefined {
    return this.#jitDumps.get(
      `${pid}`,
      () => {
        const { jitDumps, isMonotonic = false } = this.#recorded;
        const mapped = jitDumps?.get(pid) ?? [];
        const code = withJitDump(pid, mapped, this.#places.home, (read) => jitDumpCode(read, isMonotonic));
        if (typeof code !== 'string') return code;
        this.#distrust(pid, code);
        return undefined;
      },
      (code) => code?.table.bytes ?? 0,
    );
  }

  #distrust(pid: number, why: Distrust): void {
    const problem = `the names that a JIT compiler left for process ${pid} belong to ${WHOSE[why]}`;
    if (!this.problems.includes(problem)) this.problems.push(problem);
  }
}

function pieceOf({
  start,
  end,
  since,
  name,
}: FoundSymbol): Pick<LocatedSymbol, 'start' | 'bytes' | 'since' | 'symbol'> {
  return { start, bytes: end - start, since, symbol: name };
}

const WHOSE: Readonly<Record<Distrust, string>> = {
  'another-user': 'another user',
  'another-process': 'a later process with the same PID',
};

const WHY_NONE: Readonly<Record<Exclude<FileSearch, object>, string>> = {
  absent: 'it cannot be read here',
  'another-file': 'it is not the recorded file',
  'no-symbols': 'it has no symbols',
};

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
