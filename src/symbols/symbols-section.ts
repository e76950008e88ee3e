/**
 * The symbols that a snapshot carries: for each file, for the kernel and for the memory of each process, the functions
 * that frames lie in, as bytes of one feature section. Pure.
 *
 *   u32 "RKNM" | u32 version | zlib stream of: flags | texts | scripts | spaces, each: its key | its functions
 *
 * Numbers in the stream are LEB128; a list is its count and its rows, a row the fields of its table below.
 *
 * Invariant: a damaged section (zlib has a checksum) gives no symbols at all, never wrong ones and never an exception.
 */
import { deflateSync, inflateSync } from 'node:zlib';
import { type RowOf, type RowTable, VarintReader, VarintWriter } from './varint-rows.ts';

/** A function, or another piece of code with a name, in one space. */
export interface SymbolRange {
  /** File offset, kernel address counted from KERNEL_BASE, or address in the process. */
  readonly start: number;
  readonly bytes: number;
  /** As the symbol table or the JIT compiler spells it. */
  readonly symbol: string;
  readonly script: ScriptFunction | null;
  /** When it came there, nanoseconds; in a space without times, its order: later ones take precedence. */
  readonly since: bigint;
}

/** The source function of JIT code. */
export interface ScriptFunction {
  readonly name: string;
  readonly source: { readonly file: string; readonly line: number } | null;
}

/** The space that addresses are counted in. `jitdump`: code of a process with times; `jit`: without. */
export type SymbolSpaceKey =
  | { readonly kind: 'kernel' }
  | { readonly kind: 'file'; readonly file: string; readonly buildId: string | null }
  | { readonly kind: 'jit' | 'jitdump'; readonly pid: number };

export interface SymbolSpace {
  readonly key: SymbolSpaceKey;
  /** By start; of equal start, by `since`. */
  readonly ranges: readonly SymbolRange[];
}

export interface SnapshotSymbols {
  /** Whether every frame was looked up; false when time ran out. */
  readonly isComplete: boolean;
  readonly spaces: readonly SymbolSpace[];
  /** Which symbols were missing when they were looked up, and why: one sentence each, without its full stop. */
  readonly problems?: readonly string[];
}

/** "RKNM", read as a little-endian u32. */
const MAGIC = 0x4d4e4b52;
const VERSION = 1;
const HEAD_BYTES = 8;
/** A section that unpacks to more is damaged or hostile: ringkeep's own pack to a quarter. */
const MOST_BYTES = 256 * 1024 ** 2;
const ALWAYS_BYTES = 1024 ** 2;
const MOST_BYTES_PER_BYTE = 32;

function mostUnpacked(packedBytes: number): number {
  return Math.min(MOST_BYTES, ALWAYS_BYTES + packedBytes * MOST_BYTES_PER_BYTE);
}

const COMPLETE_FLAG = 1;
const KINDS = ['kernel', 'file', 'jit', 'jitdump'] as const;

const SCRIPT_ROW = [
  ['name', 'text'],
  ['file', 'text'],
  /** 0: unknown. */
  ['line', 'count'],
] as const satisfies RowTable;

const SPACE_ROW = [
  /** Index in KINDS. */
  ['kind', 'count'],
  /** For files; empty for others. */
  ['file', 'text'],
  ['buildId', 'text'],
  /** For processes; 0 for others. */
  ['pid', 'count'],
] as const satisfies RowTable;

const RANGE_ROW = [
  ['start', 'ascending'],
  ['bytes', 'count'],
  ['symbol', 'text'],
  /** Position among the scripts, from 1; 0: none. */
  ['script', 'count'],
  ['since', 'u64'],
] as const satisfies RowTable;

/** Follows the ranges; absent when empty. */
const PROBLEM_ROW = [['sentence', 'text']] as const satisfies RowTable;

/** The section's bytes. */
export function encodeSymbols({ isComplete, spaces, problems = [] }: SnapshotSymbols): Uint8Array {
  const writer = new VarintWriter();
  const scripts = new Map<string, number>();
  const scriptRows: RowOf<typeof SCRIPT_ROW>[] = [];
  const numberOf = (script: ScriptFunction | null): number => {
    if (script === null) return 0;
    const row = { name: script.name, file: script.source?.file ?? '', line: script.source?.line ?? 0 };
    const key = JSON.stringify(row);
    const known = scripts.get(key);
    if (known !== undefined) return known;
    scripts.set(key, scriptRows.push(row));
    return scriptRows.length;
  };
  const lists = spaces.map(({ ranges }) =>
    ranges.map(({ script, ...range }) => ({ ...range, script: numberOf(script) })),
  );
  writer.count(isComplete ? COMPLETE_FLAG : 0);
  writer.rows(SCRIPT_ROW, scriptRows);
  writer.rows(
    SPACE_ROW,
    spaces.map(({ key }) => rowOfKey(key)),
  );
  for (const list of lists) writer.rows(RANGE_ROW, list);
  if (problems.length > 0)
    writer.rows(
      PROBLEM_ROW,
      problems.map((sentence) => ({ sentence })),
    );
  const head = new DataView(new ArrayBuffer(HEAD_BYTES));
  head.setUint32(0, MAGIC, true);
  head.setUint32(4, VERSION, true);
  const packed = deflateSync(writer.bytes());
  const isTooSmall = writer.bytes().length > mostUnpacked(packed.length);
  return Buffer.concat([new Uint8Array(head.buffer), isTooSmall ? deflateSync(writer.bytes(), { level: 0 }) : packed]);
}

/** Undefined when the bytes are no such section, or a damaged one. */
export function decodeSymbols(bytes: Uint8Array): SnapshotSymbols | undefined {
  const body = unpacked(bytes);
  const reader = body && VarintReader.open(body);
  if (reader === undefined) return undefined;
  const flags = reader.count();
  const scripts = reader.rows(SCRIPT_ROW).map(scriptOfRow);
  const spaces = reader.rows(SPACE_ROW).map((row) => ({ key: keyOfRow(row), ranges: rangesOf(reader, scripts) }));
  const rows = reader.isDamaged || reader.isAtEnd ? [] : reader.rows(PROBLEM_ROW);
  const problems = rows.map(({ sentence }) => sentence);
  const isWhole = !reader.isDamaged && reader.isAtEnd && spaces.every(({ key }) => key !== undefined);
  if (!isWhole) return undefined;
  const isComplete = (flags & COMPLETE_FLAG) !== 0;
  return { isComplete, spaces: spaces as SymbolSpace[], ...(problems.length > 0 ? { problems } : {}) };
}

function unpacked(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  if (head.getUint32(0, true) !== MAGIC || head.getUint32(4, true) !== VERSION) return undefined;
  try {
    return inflateSync(bytes.subarray(HEAD_BYTES), { maxOutputLength: mostUnpacked(bytes.length - HEAD_BYTES) });
  } catch {
    return undefined; // zlib throws for damage, a wrong checksum included.
  }
}

function rangesOf(reader: VarintReader, scripts: readonly ScriptFunction[]): SymbolRange[] {
  return reader.rows(RANGE_ROW).map(({ script, ...range }) => {
    if (script > scripts.length) reader.isDamaged = true;
    return { ...range, script: scripts[script - 1] ?? null };
  });
}

function scriptOfRow({ name, file, line }: RowOf<typeof SCRIPT_ROW>): ScriptFunction {
  return { name, source: line === 0 ? null : { file, line } };
}

function rowOfKey(key: SymbolSpaceKey): RowOf<typeof SPACE_ROW> {
  const row = { kind: KINDS.indexOf(key.kind), file: '', buildId: '', pid: 0 };
  if (key.kind === 'file') return { ...row, file: key.file, buildId: key.buildId ?? '' };
  return key.kind === 'kernel' ? row : { ...row, pid: key.pid };
}

function keyOfRow({ kind, file, buildId, pid }: RowOf<typeof SPACE_ROW>): SymbolSpaceKey | undefined {
  const name = KINDS[kind];
  if (name === undefined || name === 'kernel') return name && { kind: name };
  return name === 'file' ? { kind: name, file, buildId: buildId || null } : { kind: name, pid };
}
