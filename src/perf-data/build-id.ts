/**
 * Build ids in perf.data: entries of the BUILD_ID section, HEADER_BUILD_ID records, and the ids in MMAP2 records.
 * Source: struct perf_record_header_build_id (tools/lib/perf/include/perf/event.h), Linux 6.1.
 */
import { cString, cStringBytes, decodeStruct, encodeStruct, fieldOffset } from '../abi/layout.ts';
import {
  BUILD_ID_ENTRY_BYTES,
  BUILD_ID_ENTRY_FIELDS,
  BUILD_ID_MAX_BYTES,
  HEADER_STRING_ALIGN,
  HOST_KERNEL_PID,
  MISC_BUILD_ID_SIZE,
} from '../abi/perf-data.ts';
import { Misc } from '../abi/record-table.ts';

/** The build id of a mapped file. */
export interface BuildId {
  readonly file: string;
  /** Lower-case hexadecimal. */
  readonly buildId: string;
  /** Whether the file is the kernel or one of its modules. */
  readonly isKernel: boolean;
}

const ID_OFFSET = fieldOffset(BUILD_ID_ENTRY_FIELDS, 'id0');

/** One entry of the BUILD_ID section. */
export function encodeBuildId({ file, buildId, isKernel }: BuildId): Uint8Array {
  const name = cStringBytes(file, HEADER_STRING_ALIGN);
  const id = bytesOfHex(buildId).subarray(0, BUILD_ID_MAX_BYTES);
  const out = new Uint8Array(BUILD_ID_ENTRY_BYTES + name.length);
  const misc = (isKernel ? Misc.kernel : Misc.user) | MISC_BUILD_ID_SIZE;
  const fields = { misc, size: out.length, pid: HOST_KERNEL_PID, idBytes: id.length };
  encodeStruct(BUILD_ID_ENTRY_FIELDS, fields, new DataView(out.buffer), 0);
  out.set(id, ID_OFFSET);
  out.set(name, BUILD_ID_ENTRY_BYTES);
  return out;
}

/** Decodes one entry, or one HEADER_BUILD_ID record: they have the same layout. Undefined when it is cut. */
export function decodeBuildId(entry: Uint8Array): BuildId | undefined {
  // Before Linux 5.11 the id's size was padding, and the filename began in the same place.
  if (entry.length < BUILD_ID_ENTRY_BYTES) return undefined;
  const { misc, idBytes } = decodeStruct(BUILD_ID_ENTRY_FIELDS, new DataView(entry.buffer, entry.byteOffset), 0);
  const size = misc & MISC_BUILD_ID_SIZE ? Math.min(idBytes, BUILD_ID_MAX_BYTES) : BUILD_ID_MAX_BYTES;
  const mode = misc & Misc.cpumodeMask;
  return {
    file: cString(entry.subarray(BUILD_ID_ENTRY_BYTES)),
    buildId: hex(entry.subarray(ID_OFFSET, ID_OFFSET + size)),
    isKernel: mode === Misc.kernel || mode === Misc.guestKernel,
  };
}

/** `object` of an MMAP2 with MISC.mmapBuildId is {u8 size; u8 pad[3]; u8 id[20]}. */
const MAPPED_ID_OFFSET = 4;

/**
 * The build id that an MMAP2 record carries, lower-case hexadecimal; null when it carries none. The kernel also marks
 * records with an inode, while another event asks for build ids: those have other bytes where an id has zeros.
 */
export function mappedBuildId(object: Uint8Array, misc: number): string | null {
  if ((misc & Misc.mmapBuildId) === 0) return null;
  const size = object[0]!;
  const zeros = [...object.subarray(1, MAPPED_ID_OFFSET), ...object.subarray(MAPPED_ID_OFFSET + size)];
  if (size === 0 || size > BUILD_ID_MAX_BYTES || zeros.some((byte) => byte !== 0)) return null;
  return hex(object.subarray(MAPPED_ID_OFFSET, MAPPED_ID_OFFSET + size));
}

const MAPPED_INODE_OFFSET = 8;

/** The inode that an MMAP2 record without a build id carries; null: none. */
export function mappedInode(object: Uint8Array): bigint | null {
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  return view.getBigUint64(MAPPED_INODE_OFFSET, true) || null;
}

/** Lower-case hexadecimal digits of `bytes`. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function bytesOfHex(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
