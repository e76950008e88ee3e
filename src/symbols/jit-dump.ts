/**
 * The code that a JIT compiler records in jit-PID.dump. Pure: bytes come from `read(offset, length)`; the code itself,
 * most of the file, is skipped. Source: tools/perf/Documentation/jitdump-specification.txt, version 2 (Linux 4.9 and
 * later).
 *
 * Every piece of code has a time: reused memory belongs to the code that was there at the time asked for. Moved code
 * keeps the name under which it was loaded.
 *
 * Invariant: a cut or damaged file is read up to the damage.
 */
import type { ReadAt } from '../abi/elf-note.ts';
import {
  JITDUMP_ARCH_TIMESTAMP,
  JITDUMP_DEBUG_ENTRY_FIELDS,
  JITDUMP_DEBUG_FIELDS,
  JITDUMP_HEADER_FIELDS,
  JITDUMP_LOAD_FIELDS,
  JITDUMP_MAGIC,
  JITDUMP_MOVE_FIELDS,
  JITDUMP_RECORD_FIELDS,
  JITDUMP_SAME_FILE,
  JitdumpRecord,
} from '../abi/jitdump.ts';
import { cString, decodeStruct, type StructOf, structBytes } from '../abi/layout.ts';
import type { CodeSource } from './code-place.ts';
import { dataViewOf } from './elf-image.ts';
import { type PlacedSymbol, StringTable, SymbolTable } from './symbol-table.ts';

/** The code of a process. */
export interface JitCode {
  readonly table: SymbolTable;
  /** The source of the code at a position of the table; undefined when the dump has none. */
  sourceOf(index: number): CodeSource | undefined;
}

interface Load {
  readonly start: number;
  readonly bytes: number;
  readonly nameAt: number;
  readonly timeNs: bigint;
  readonly source: CodeSource | undefined;
}

/** Longer names and lists of lines are cut. */
const MOST_NAME_BYTES = 1 << 16;
const MOST_DEBUG_BYTES = 1 << 20;
/** Later records are not read, nor is more than this of names and lines. */
const MOST_RECORDS = 2 ** 20;
const MOST_LOADS = 2 ** 19;
const MOST_READ_BYTES = 2 ** 28;
const RECORD_BYTES = structBytes(JITDUMP_RECORD_FIELDS);

/**
 * The code in the dump; undefined when the file is no dump, or has the other byte order. `hasTimes`: its clock is that
 * of the times that will be asked for. Without it, or where the dump uses the clock of a CPU, the newest code at an
 * address is returned.
 */
export function jitDumpCode(read: ReadAt, hasTimes: boolean): JitCode | undefined {
  const header = structAt(read, JITDUMP_HEADER_FIELDS, 0);
  if (header === undefined || header.magic !== JITDUMP_MAGIC) return undefined;
  const isTimed = hasTimes && (header.flags & JITDUMP_ARCH_TIMESTAMP) === 0n;
  const names = new StringTable();
  const loads = readLoads(read, header.totalSize, names);
  const byTime = loads.map((_, index) => index);
  byTime.sort((a, b) => (loads[a]!.timeNs < loads[b]!.timeNs ? -1 : loads[a]!.timeNs > loads[b]!.timeNs ? 1 : a - b));
  const placed: (PlacedSymbol & { source: CodeSource | undefined })[] = [];
  let lastNs = 0n;
  for (const [order, index] of byTime.entries()) {
    const { start, bytes, nameAt, timeNs, source } = loads[index]!;
    // Of two with one time the later in the file is newer: times become distinct here.
    lastNs = timeNs > lastNs ? timeNs : lastNs + 1n;
    placed.push({ start, end: start + bytes, nameAt, order, source, ...(isTimed ? { sinceNs: lastNs } : {}) });
  }
  placed.sort((a, b) => a.start - b.start || a.order - b.order);
  return { table: new SymbolTable(placed, names.bytes(), 'newest'), sourceOf: (index) => placed[index]?.source };
}

/** Every load and move of code, in file order. */
function readLoads(read: ReadAt, firstAt: number, names: StringTable): Load[] {
  const loads: Load[] = [];
  const byIndex = new Map<bigint, Load>();
  /** The lines of the next load, by its address. */
  let lines: { address: bigint; source: CodeSource | undefined } | undefined;
  let readBytes = 0;
  let at = firstAt;
  for (let count = 0; count < MOST_RECORDS && loads.length < MOST_LOADS && readBytes < MOST_READ_BYTES; count++) {
    const record = structAt(read, JITDUMP_RECORD_FIELDS, at);
    if (record === undefined || record.totalSize < RECORD_BYTES) return loads;
    const { id, totalSize, timestamp } = record;
    const bodyAt = at + RECORD_BYTES;
    const bodyBytes = totalSize - RECORD_BYTES;
    if (id === JitdumpRecord.load) readBytes += Math.min(bodyBytes, MOST_NAME_BYTES);
    else if (id === JitdumpRecord.debugInfo) readBytes += Math.min(bodyBytes, MOST_DEBUG_BYTES);
    if (id === JitdumpRecord.load) {
      const load = loadAt(read, bodyAt, bodyBytes, timestamp, lines, names);
      if (load === undefined) return loads;
      loads.push(load.code);
      byIndex.set(load.index, load.code);
    } else if (id === JitdumpRecord.move) {
      const move = structAt(read, JITDUMP_MOVE_FIELDS, bodyAt);
      if (move === undefined) return loads;
      const known = byIndex.get(move.codeIndex);
      const moved = known && codeAt(move.newCodeAddress, move.codeSize, { ...known, timeNs: timestamp });
      if (moved) loads.push(moved);
    } else if (id === JitdumpRecord.debugInfo) lines = linesAt(read, bodyAt, bodyBytes);
    at += totalSize;
  }
  return loads;
}

function loadAt(
  read: ReadAt,
  at: number,
  bytes: number,
  timeNs: bigint,
  lines: { address: bigint; source: CodeSource | undefined } | undefined,
  names: StringTable,
): { code: Load; index: bigint } | undefined {
  const fields = structAt(read, JITDUMP_LOAD_FIELDS, at);
  const nameBytes = bytes - structBytes(JITDUMP_LOAD_FIELDS);
  if (fields === undefined || nameBytes < 1) return undefined;
  const text = read(at + structBytes(JITDUMP_LOAD_FIELDS), Math.min(nameBytes, MOST_NAME_BYTES));
  // A name without its NUL is cut, and so is the file.
  if (!text.includes(0)) return undefined;
  const source = lines?.address === fields.codeAddress ? lines.source : undefined;
  const named = { nameAt: names.add(cString(text)), timeNs, source };
  return { code: codeAt(fields.codeAddress, fields.codeSize, named), index: fields.codeIndex };
}

/** Code at an impossible address gets an empty range: what follows is still read. */
function codeAt(address: bigint, size: bigint, named: Pick<Load, 'nameAt' | 'timeNs' | 'source'>): Load {
  const isPossible = address + size <= BigInt(Number.MAX_SAFE_INTEGER);
  return { ...named, start: isPossible ? Number(address) : 0, bytes: isPossible ? Number(size) : 0 };
}

/** The line at which the code begins: that of its lowest address. */
function linesAt(
  read: ReadAt,
  at: number,
  bytes: number,
): { address: bigint; source: CodeSource | undefined } | undefined {
  const fields = structAt(read, JITDUMP_DEBUG_FIELDS, at);
  const entriesAt = at + structBytes(JITDUMP_DEBUG_FIELDS);
  const left = Math.min(bytes - structBytes(JITDUMP_DEBUG_FIELDS), MOST_DEBUG_BYTES);
  if (fields === undefined || left < 0) return undefined;
  const entries = read(entriesAt, left);
  const within: ReadAt = (offset, length) => entries.subarray(offset, offset + length);
  let lowest: { address: bigint; source: CodeSource } | undefined;
  let file = '';
  let next = 0;
  for (let count = 0n; count < fields.entryCount; count++) {
    const entry = structAt(within, JITDUMP_DEBUG_ENTRY_FIELDS, next);
    if (entry === undefined) break;
    const name = entries.subarray(next + structBytes(JITDUMP_DEBUG_ENTRY_FIELDS));
    const nameBytes = name.indexOf(0);
    if (nameBytes < 0) break;
    const isSameFile = nameBytes === 1 && name[0] === JITDUMP_SAME_FILE;
    if (!isSameFile) file = cString(name);
    const isLower = lowest === undefined || entry.codeAddress < lowest.address;
    if (isLower && entry.line > 0) lowest = { address: entry.codeAddress, source: { file, line: entry.line } };
    next += structBytes(JITDUMP_DEBUG_ENTRY_FIELDS) + nameBytes + 1;
  }
  return { address: fields.codeAddress, source: lowest?.source };
}

/** The fields at `at`; undefined when the file ends before them. */
function structAt<const F extends Parameters<typeof structBytes>[0]>(
  read: ReadAt,
  fields: F,
  at: number,
): StructOf<F> | undefined {
  const bytes = read(at, structBytes(fields));
  return bytes.length < structBytes(fields) ? undefined : decodeStruct(fields, dataViewOf(bytes), 0);
}
