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
import { type CodePlace, fileOffsetOf, findAt, isMappedFile, isMemoryFile } from './code-place.ts';
import type { SymbolPlaces } from './debug-files.ts';
import { ElfImage } from './elf-image.ts';
import { elfSymbolTable } from './elf-symbols.ts';
import { JavaScriptSymbols } from './javascript-symbols.ts';
import { type JitCode, jitDumpCode } from './jit-dump.ts';
import { type Distrust, isJitDump, withJitDump, withJitMap } from './jit-files.ts';
import { type KernelSymbols, kernelSymbols } from './kallsyms.ts';
import { attempt, ownMemory, textPieces } from './local-file.ts';
import { NativeSymbols } from './native-symbols.ts';
import { perfMapTable } from './perf-map.ts';
import type { ProgramLife } from './process-life.ts';
import { type FileSearch, findSymbolFile } from './symbol-files.ts';
import type { LocatedSymbol } from './symbol-harvest.ts';
import { type FoundSymbol, kernelNumber, type SymbolTable } from './symbol-table.ts';
import { TableCache } from './table-cache.ts';

/** The system that the capture was recorded on, and its processes. */
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
  /** Whether it was recorded on this machine, under the running kernel's release. */
  readonly isOfHere: boolean;
  /** When its first and its last record were written, milliseconds since the epoch; null: unknown. */
  readonly startWallMs: number | null;
  readonly endWallMs: number | null;
  /** A time of it in milliseconds since the epoch; null: unknown. */
  wallMsOf(timeNs: bigint): number | null;
  /** The program that the process ran at `timeNs`. */
  lifeOf(pid: number, timeNs: bigint): ProgramLife;
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
  readonly #problems = new Set<string>();
  /** Addresses in memory without a file that have no name: `pid address`. */
  readonly #nameless = new Set<string>();
  readonly #recorded: RecordedSystem;
  readonly #places: SymbolPlaces;
  readonly #isRecent: boolean;
  readonly #files: TableCache<FileSearch>;
  readonly #jitMaps: TableCache<SymbolTable | undefined>;
  readonly #jitDumps: TableCache<JitCode | undefined>;
  readonly #refused = new Set<string>();
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

  /** Which symbols are missing and why: one sentence each, without its full stop. */
  get problems(): string[] {
    const { size } = this.#nameless;
    if (size === 0) return [...this.#problems];
    const count = size < MOST_NAMELESS ? `${size}` : `at least ${size}`;
    const have = size === 1 ? 'address has no name' : 'addresses have no names';
    return [...this.#problems, `${count} ${have}: code made at run time, of which no compiler left a name`];
  }

  /** The symbol at `place` with its piece of code; undefined when unknown. */
  nameOf(place: CodePlace): LocatedSymbol | undefined {
    if (place.isGuest === true) return this.#noGuest();
    if (place.isKernel) return this.#kernelName(place);
    const { mapping } = place;
    if (isMappedFile(mapping)) return this.#fileName(place, mapping);
    const found =
      this.#jitName(place) ??
      (mapping !== undefined && isMemoryFile(mapping) ? this.#fileName(place, mapping) : undefined);
    return found ?? this.#noJitName(place);
  }

  /** Files without a build id that are the recorded ones for some mappings and not for others. */
  get refusedFiles(): ReadonlySet<string> {
    return this.#refused;
  }

  #noJitName({ pid, address, mapping }: CodePlace): undefined {
    if (mapping !== undefined && this.#nameless.size < MOST_NAMELESS) this.#nameless.add(`${pid} ${address}`);
    return undefined;
  }

  #noGuest(): undefined {
    const problem = 'functions of a virtual machine have no names: its programs and its kernel are not of this machine';
    this.#problems.add(problem);
    return undefined;
  }

  /** By what the process's own compiler left, else by what that of the process it was forked from did. */
  #jitName(place: CodePlace): LocatedSymbol | undefined {
    let [pid, timeNs] = [place.pid, place.timeNs ?? 0n];
    for (let generation = 0; generation < MOST_GENERATIONS; generation++) {
      const at = { ...place, pid, timeNs };
      const life = this.#recorded.lifeOf(pid, timeNs);
      const found = this.#dumpedName(at, life) ?? this.#mapName(at, life);
      if (found !== undefined) {
        const { kind } = found.space;
        return kind === 'jit' || kind === 'jitdump' ? { ...found, space: { kind, pid: place.pid } } : found;
      }
      if (life.forkedFrom === null) return undefined;
      ({ pid, timeNs } = life.forkedFrom);
    }
    return undefined;
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
    if (this.#recorded.jitDumps?.has(pid) !== true) return 0;
    return this.#dump(pid, this.#recorded.lifeOf(pid, timeNs))?.table.changesUntil(timeNs) ?? 0;
  }

  #kernelName(place: CodePlace): LocatedSymbol | undefined {
    if (this.#kernel === undefined) this.#kernel = this.#openKernel();
    if (this.#kernel === null) return undefined;
    const { symbols, movedBy } = this.#kernel;
    // Modules are loaded at free addresses: only in the same boot do they stay where they were.
    const isModule = place.mapping !== undefined && !place.mapping.file.startsWith(KERNEL_DSO_NAME);
    if ((movedBy !== 0n || !this.#recorded.isOfHere) && isModule) return undefined;
    const address = kernelNumber(place.address + movedBy);
    if (address === undefined) return undefined;
    return this.#nativeName(symbols.table, address, place, { kind: 'kernel' }, address - Number(movedBy));
  }

  #openKernel(): { symbols: KernelSymbols; movedBy: bigint } | null {
    const { buildIds, kernelReference, isOfHere } = this.#recorded;
    if (kernelReference === null) return this.#noKernel('the capture does not record where the kernel was');
    const recordedId = buildIds.get(KERNEL_DSO_NAME);
    const isSame = recordedId === undefined ? isOfHere : recordedId === kernelBuildId();
    if (!isSame && recordedId === undefined)
      return this.#noKernel('the capture does not identify it, and is not of this machine');
    if (!isSame) return this.#noKernel('it was recorded under another kernel than the running one');
    const symbols = kernelSymbols(textPieces('/proc/kallsyms'));
    const address = symbols?.references.get(kernelReference.symbol);
    if (symbols === undefined || address === undefined)
      return this.#noKernel('the kernel hides its symbols here (sysctl kernel.kptr_restrict)');
    return { symbols, movedBy: address - kernelReference.address };
  }

  #noKernel(reason: string): null {
    this.#problems.add(`kernel functions have no names: ${reason}`);
    return null;
  }

  #fileName(place: CodePlace, mapping: NonNullable<CodePlace['mapping']>): LocatedSymbol | undefined {
    const buildId = this.buildIdOf(place);
    const mappedMs = this.#mappedMs(mapping);
    const file = this.#file(mapping, buildId, mappedMs, place.pid);
    if (typeof file === 'string') return undefined;
    if (file.changedMs !== null && (mappedMs === null || file.changedMs > mappedMs))
      return this.#refuse(mapping.file, 'another-file');
    const fileOffset = fileOffsetOf(place.address, mapping);
    const address = file.image.addressOf(fileOffset);
    if (address === undefined) return undefined;
    return this.#nativeName(file.table, address, place, { kind: 'file', file: mapping.file, buildId }, fileOffset);
  }

  /** When the file was mapped, or first known to be. */
  #mappedMs({ timeNs = 0n }: NonNullable<CodePlace['mapping']>): number | null {
    return timeNs === 0n ? this.#recorded.startWallMs : this.#recorded.wallMsOf(timeNs);
  }

  #file(
    { file: path, inode = null, start, end, isExecutable, fileOffset }: NonNullable<CodePlace['mapping']>,
    buildId: string | null,
    mappedMs: number | null,
    pid: number,
  ): FileSearch {
    const find = (): FileSearch => {
      const isOfHere = this.#recorded.isOfHere || this.#isRecent;
      const range = end === undefined ? null : { start, end };
      const isCode = range !== null && isExecutable === true;
      const code = isCode ? { offset: Number(fileOffset), bytes: Number(range.end - start) } : null;
      const recorded = { path, buildId, inode, mappedMs, pid, range, code, isOfHere, isRecent: this.#isRecent };
      const found = path === VDSO_NAME ? this.#vdso(buildId) : findSymbolFile(recorded, this.#places);
      if (typeof found === 'string') this.#refuse(path, found);
      return found;
    };
    // Without a build id, a refusal holds for that mapping only.
    const identity = buildId ?? `${inode}`;
    const known = this.#files.get(`${identity} ${path}`, find, bytesOf);
    if (typeof known !== 'string' || buildId !== null) return known;
    return this.#files.get(`${identity} ${path} ${mappedMs}`, find, bytesOf);
  }

  #refuse(path: string, why: Exclude<FileSearch, object>): undefined {
    if (why !== 'absent' && why !== 'no-symbols') this.#refused.add(path);
    const problem = `no names from ${path}: ${WHY_NONE[why]}`;
    this.#problems.add(problem);
    return undefined;
  }

  /** The vDSO is part of the kernel and the same in all 64-bit processes: that of this process serves. */
  #vdso(buildId: string | null): FileSearch {
    if (this.#recorded.osrelease !== release()) return 'another-file';
    if (buildId === null && !this.#recorded.isOfHere) return 'unknown-file';
    const entry = parseMaps(readFileSync('/proc/self/maps', 'latin1')).find(({ path }) => path === VDSO_NAME);
    const bytes = entry && ownMemory(Number(entry.start), Number(entry.end - entry.start));
    const image = bytes && ElfImage.parse((offset, length) => bytes.subarray(offset, offset + length));
    if (image === undefined) return 'absent';
    if (buildId !== null && image.buildId !== buildId) return 'another-file';
    return { image, table: elfSymbolTable(image), changedMs: null };
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

  #dumpedName(place: CodePlace, life: ProgramLife): LocatedSymbol | undefined {
    const code = this.#dump(place.pid, life);
    const found = code && findAt(code.table, Number(place.address), place);
    if (found === undefined) return undefined;
    const { index, start } = found;
    const script = this.#javaScript.nameOf(found.name) ?? { name: found.name, source: code?.sourceOf(index) ?? null };
    const space = { kind: 'jitdump', pid: place.pid } as const;
    return { ...script, ...pieceOf(found), offset: Number(place.address) - start, space };
  }

  #mapName(place: CodePlace, life: ProgramLife): LocatedSymbol | undefined {
    const table = this.#jitMaps.get(
      life.key,
      () => this.#jitMap(place.pid, life),
      (found) => found?.bytes ?? 0,
    );
    const found = table && findAt(table, Number(place.address), place);
    if (found === undefined) return undefined;
    const script = this.#javaScript.nameOf(found.name) ?? { name: found.name, source: null };
    const space = { kind: 'jit', pid: place.pid } as const;
    return { ...script, ...pieceOf(found), offset: Number(place.address) - found.start, space };
  }

  #jitMap(pid: number, life: ProgramLife): SymbolTable | undefined {
    const map = withJitMap({ pid, life, recorded: this.#evidence() }, (pieces) => perfMapTable(pieces));
    if (typeof map === 'string') this.#distrust(pid, map);
    return typeof map === 'object' ? map.value : undefined;
  }

  #dump(pid: number, life: ProgramLife): JitCode | undefined {
    return this.#jitDumps.get(
      life.key,
      () => {
        const { jitDumps, isMonotonic = false } = this.#recorded;
        const mapped = jitDumps?.get(pid) ?? [];
        const process = { pid, life, recorded: this.#evidence() };
        const code = withJitDump(process, mapped, this.#places.home, (read) => jitDumpCode(read, isMonotonic));
        if (typeof code !== 'string') return code;
        this.#distrust(pid, code);
        return undefined;
      },
      (code) => code?.table.bytes ?? 0,
    );
  }

  #evidence() {
    const { isOfHere, startWallMs, endWallMs } = this.#recorded;
    return { isOfHere: isOfHere || this.#isRecent, captureStartMs: startWallMs, captureEndMs: endWallMs };
  }

  #distrust(pid: number, why: Distrust): void {
    const problem = `the names that a JIT compiler left for process ${pid} ${WHOSE[why]}`;
    this.#problems.add(problem);
  }
}

/** Addresses without a name that are counted. */
const MOST_NAMELESS = 65_536;
/** Forks without an exec between that are followed to the process whose code runs. */
const MOST_GENERATIONS = 16;

function bytesOf(found: FileSearch): number {
  return typeof found === 'string' ? 0 : found.table.bytes;
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
  'another-user': 'belong to another user',
  'another-process': 'belong to another process with the same PID: they were not written while it ran',
  'another-machine': 'are not used: the capture is not known to be of this machine',
  'unknown-process': 'are not used: they may be of an earlier or later process with the same PID',
};

const WHY_NONE: Readonly<Record<Exclude<FileSearch, object>, string>> = {
  absent: 'it cannot be read here',
  'another-file': 'it is not the recorded file',
  'unknown-file': 'the capture does not identify it',
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
