/**
 * The symbols that simpleperf stores in its captures: features FILE (128) and FILE2 (132), one entry per file. Pure.
 * Source: system/extras/simpleperf, record_file_writer.cpp, record_file_reader.cpp and record_file.proto.
 *
 * Invariant: damage ends the list. A file whose addresses cannot be related to offsets in it gives no symbols: wrong
 * ones would be worse.
 */
import { cString } from '../abi/layout.ts';
import { kernelNumber } from './symbol-table.ts';
import type { SnapshotSymbols, SymbolRange, SymbolSpace, SymbolSpaceKey } from './symbols-section.ts';

/** enum DsoType. The others are code of the Android runtime, whose addresses are those of a process. */
const DSO_KERNEL = 0;
const DSO_ELF_FILE = 2;

interface SimpleperfFile {
  path: string;
  type: number;
  minAddress: bigint;
  /** Offset in the file of `minAddress`; undefined when not recorded. */
  minOffset: bigint | undefined;
  symbols: { address: bigint; bytes: number; name: string }[];
}

/** The symbols of the sections, as far as they are there; `buildIds` by file. Undefined when there are none. */
export function simpleperfSymbols(
  sections: { readonly file?: Uint8Array; readonly file2?: Uint8Array },
  buildIds: ReadonlyMap<string, string>,
): SnapshotSymbols | undefined {
  const files = [
    ...entriesOf(sections.file).flatMap((entry) => fileOf(entry) ?? []),
    ...entriesOf(sections.file2).flatMap((entry) => file2Of(entry) ?? []),
  ];
  const spaces = files.flatMap((file) => spaceOf(file, buildIds) ?? []);
  return spaces.length === 0 ? undefined : { isComplete: false, spaces };
}

function spaceOf(file: SimpleperfFile, buildIds: ReadonlyMap<string, string>): SymbolSpace | undefined {
  const { path, type, minAddress, minOffset, symbols } = file;
  // Without the offset, old files relate addresses and offsets only where both begin at 0.
  const base = minOffset === undefined ? (minAddress === 0n ? 0n : undefined) : minAddress - minOffset;
  const placeOf = (address: bigint) =>
    type === DSO_KERNEL ? kernelNumber(address) : base === undefined ? undefined : Number(address - base);
  if (type !== DSO_KERNEL && type !== DSO_ELF_FILE) return undefined;
  const key: SymbolSpaceKey =
    type === DSO_KERNEL ? { kind: 'kernel' } : { kind: 'file', file: path, buildId: buildIds.get(path) ?? null };
  const ranges: SymbolRange[] = [];
  for (const { address, bytes, name } of symbols) {
    const start = placeOf(address);
    if (start !== undefined && start >= 0) ranges.push({ start, bytes, symbol: name, script: null, since: 0n });
  }
  return ranges.length === 0 ? undefined : { key, ranges: ranges.sort((a, b) => a.start - b.start) };
}

/** {u32 size; entry} each. */
function entriesOf(section: Uint8Array | undefined): Uint8Array[] {
  const entries: Uint8Array[] = [];
  const view = section && new DataView(section.buffer, section.byteOffset, section.byteLength);
  for (let at = 0; view !== undefined && at + 4 <= view.byteLength; ) {
    const size = view.getUint32(at, true);
    if (at + 4 + size > view.byteLength) break;
    entries.push(section!.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return entries;
}

/** Text, u32 type, u64 least address, u32 count, then {u64 address, u32 bytes, text} each; of ELF files u64 offset. */
function fileOf(entry: Uint8Array): SimpleperfFile | undefined {
  const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength);
  let at = 0;
  const has = (bytes: number) => at + bytes <= entry.length;
  const text = () => {
    const end = entry.indexOf(0, at);
    const found = entry.subarray(at, end < 0 ? entry.length : end);
    at += found.length + 1;
    return cString(found);
  };
  const path = text();
  if (!has(16)) return undefined;
  const type = view.getUint32(at, true);
  const minAddress = view.getBigUint64(at + 4, true);
  const count = view.getUint32(at + 12, true);
  at += 16;
  const symbols: SimpleperfFile['symbols'] = [];
  for (let index = 0; index < count && has(13); index++) {
    const address = view.getBigUint64(at, true);
    const bytes = view.getUint32(at + 8, true);
    at += 12;
    symbols.push({ address, bytes, name: text() });
  }
  const minOffset = type === DSO_ELF_FILE && has(8) ? view.getBigUint64(at, true) : undefined;
  return { path, type, minAddress, minOffset, symbols };
}

/** Fields of message FileFeature, of its Symbol and of its ElfFile. */
const FileField = { path: 1, type: 2, minAddress: 3, symbol: 4, elfFile: 6 } as const;
const SymbolField = { address: 1, bytes: 2, name: 3 } as const;
const ELF_MIN_OFFSET = 1;

function file2Of(entry: Uint8Array): SimpleperfFile | undefined {
  const file: SimpleperfFile = { path: '', type: 0, minAddress: 0n, minOffset: undefined, symbols: [] };
  for (const { field, value, bytes } of fieldsOf(entry)) {
    if (field === FileField.path) file.path = cString(bytes);
    else if (field === FileField.type) file.type = Number(value);
    else if (field === FileField.minAddress) file.minAddress = value;
    else if (field === FileField.elfFile)
      file.minOffset = fieldsOf(bytes).find((inner) => inner.field === ELF_MIN_OFFSET)?.value ?? 0n;
    else if (field === FileField.symbol) {
      const inner = new Map(fieldsOf(bytes).map((each) => [each.field, each]));
      file.symbols.push({
        address: inner.get(SymbolField.address)?.value ?? 0n,
        bytes: Number(inner.get(SymbolField.bytes)?.value ?? 0n),
        name: cString(inner.get(SymbolField.name)?.bytes ?? new Uint8Array(0)),
      });
    }
  }
  return file.path === '' ? undefined : file;
}

interface ProtoField {
  readonly field: number;
  readonly value: bigint;
  readonly bytes: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;

/** The fields of a protobuf message, up to the first that is damaged or of a deprecated kind. */
function fieldsOf(message: Uint8Array): ProtoField[] {
  const fields: ProtoField[] = [];
  let at = 0;
  let isWhole = true;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    isWhole = false;
    return 0n;
  };
  while (isWhole && at < message.length) {
    const tag = Number(varint());
    const [field, kind] = [tag >>> 3, tag & 7];
    if (kind === VARINT) fields.push({ field, value: varint(), bytes: NO_BYTES });
    else if (kind === LENGTH_DELIMITED) {
      const length = Number(varint());
      if (length > message.length - at) break;
      fields.push({ field, value: 0n, bytes: message.subarray(at, at + length) });
      at += length;
    } else if (kind === FIXED64) at += 8;
    else break;
  }
  return isWhole ? fields : fields.slice(0, -1);
}
