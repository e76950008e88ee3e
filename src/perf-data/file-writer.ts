/**
 * What stands around the records of a perf.data file, as bytes:
 *
 *   header | attrs, each {attr, section of ids} | ids | records … | table of feature sections | feature sections
 *
 * The attrs come first, with a blank header; the header is written last, when the size of the data is known.
 */
import { ATTR_BYTES, type EventAttr, encodeAttr } from '../abi/event-attr.ts';
import { encodeStruct } from '../abi/layout.ts';
import {
  FILE_HEADER_BYTES,
  FILE_HEADER_FIELDS,
  PERF_DATA_MAGIC,
  SECTION_BYTES,
  SECTION_FIELDS,
} from '../abi/perf-data.ts';
import type { FileRange } from './byte-source.ts';
import { featureWords } from './feature-table.ts';

/** What the attrs section holds of one event. */
export interface FileEvent {
  readonly attr: EventAttr;
  readonly ids: readonly bigint[];
}

const ATTR_ENTRY_BYTES = ATTR_BYTES + SECTION_BYTES;

/** A blank header, the attrs and their ids: the records follow. */
export function encodeFileHead(events: readonly FileEvent[]): Uint8Array {
  const idsOffset = FILE_HEADER_BYTES + events.length * ATTR_ENTRY_BYTES;
  const idCount = events.reduce((sum, { ids }) => sum + ids.length, 0);
  const out = new Uint8Array(idsOffset + idCount * 8);
  const view = new DataView(out.buffer);
  let entry = FILE_HEADER_BYTES;
  let idAt = idsOffset;
  for (const { attr, ids } of events) {
    // Readers find the id section behind attr.size bytes: it must agree with what is written here.
    out.set(encodeAttr({ ...attr, size: ATTR_BYTES }), entry);
    encodeStruct(SECTION_FIELDS, { offset: idAt, size: ids.length * 8 }, view, entry + ATTR_BYTES);
    for (const id of ids) {
      view.setBigUint64(idAt, id, true);
      idAt += 8;
    }
    entry += ATTR_ENTRY_BYTES;
  }
  return out;
}

/** The header of a file with so many events, the records at `data` and these feature sections. */
export function encodeFileHeader(eventCount: number, data: FileRange, features: Iterable<number>): Uint8Array {
  const header = new Uint8Array(FILE_HEADER_BYTES);
  const fields = {
    magic: PERF_DATA_MAGIC,
    size: FILE_HEADER_BYTES,
    attrSize: ATTR_ENTRY_BYTES,
    attrsOffset: FILE_HEADER_BYTES,
    attrsSize: eventCount * ATTR_ENTRY_BYTES,
    dataOffset: data.offset,
    dataSize: data.size,
    ...featureWords(features),
  };
  encodeStruct(FILE_HEADER_FIELDS, fields, new DataView(header.buffer), 0);
  return header;
}
