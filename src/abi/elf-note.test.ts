import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  buildIdInNotes,
  ELF_HEADER_FIELDS,
  ELF_MAGIC,
  findBuildId,
  NOTE_HEADER_FIELDS,
  NT_GNU_BUILD_ID,
  PROGRAM_HEADER_FIELDS,
  PT_NOTE,
  SECTION_HEADER_FIELDS,
  SHT_NOTE,
} from './elf-note.ts';
import { alignUp, encodeStruct, structBytes } from './layout.ts';

const ID = Uint8Array.from({ length: 20 }, (_, index) => index + 1);

function note(name: string, type: number, descriptor: Uint8Array, align = 4): Uint8Array {
  const header = structBytes(NOTE_HEADER_FIELDS);
  const at = alignUp(header + name.length, align);
  const out = new Uint8Array(alignUp(at + descriptor.length, align));
  const value = { nameBytes: name.length, descriptorBytes: descriptor.length, type };
  encodeStruct(NOTE_HEADER_FIELDS, value, new DataView(out.buffer), 0);
  out.set(new TextEncoder().encode(name), header);
  out.set(descriptor, at);
  return out;
}

/** An ELF file whose only note area a program header or a section header names. */
function elf(notes: Uint8Array, by: 'segment' | 'section', align = 4): Uint8Array {
  const table = structBytes(ELF_HEADER_FIELDS);
  const entry = by === 'segment' ? structBytes(PROGRAM_HEADER_FIELDS) : structBytes(SECTION_HEADER_FIELDS);
  const out = new Uint8Array(table + entry + notes.length);
  const view = new DataView(out.buffer);
  const offset = table + entry;
  const segment = by === 'segment';
  encodeStruct(
    ELF_HEADER_FIELDS,
    {
      magic: ELF_MAGIC,
      class: 2,
      data: 1,
      programHeadersOffset: segment ? table : 0,
      programHeaderBytes: segment ? entry : 0,
      programHeaderCount: segment ? 1 : 0,
      sectionHeadersOffset: segment ? 0 : table,
      sectionHeaderBytes: segment ? 0 : entry,
      sectionHeaderCount: segment ? 0 : 1,
    },
    view,
    0,
  );
  if (segment)
    encodeStruct(PROGRAM_HEADER_FIELDS, { type: PT_NOTE, offset, fileBytes: notes.length, align }, view, table);
  else encodeStruct(SECTION_HEADER_FIELDS, { type: SHT_NOTE, offset, bytes: notes.length, align }, view, table);
  out.set(notes, offset);
  return out;
}

const readOf = (file: Uint8Array) => (offset: number, length: number) => file.subarray(offset, offset + length);

function hasReadelf(): boolean {
  try {
    execFileSync('readelf', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('the build id of an ELF file', () => {
  const notes = new Uint8Array([...note('GNU\0', 1, new Uint8Array(16)), ...note('GNU\0', NT_GNU_BUILD_ID, ID)]);

  it('is found through program headers and, without them, through sections', () => {
    expect(findBuildId(readOf(elf(notes, 'segment')))).toEqual(ID);
    expect(findBuildId(readOf(elf(notes, 'section')))).toEqual(ID);
  });

  it('is found behind a note of a segment aligned to 8', () => {
    const aligned = new Uint8Array([
      ...note('GNU\0', 5, new Uint8Array(12), 8),
      ...note('GNU\0', NT_GNU_BUILD_ID, ID, 8),
    ]);
    expect(findBuildId(readOf(elf(aligned, 'segment', 8)))).toEqual(ID);
    expect(buildIdInNotes(aligned, 8)).toEqual(ID);
  });

  it('is not taken from a note of another name or type', () => {
    expect(findBuildId(readOf(elf(note('XEN\0', NT_GNU_BUILD_ID, ID), 'segment')))).toBeUndefined();
    expect(findBuildId(readOf(elf(note('GNU\0', 4, ID), 'segment')))).toBeUndefined();
  });

  it('is undefined, never an exception, for any damage and any bytes', () => {
    const file = elf(notes, 'segment');
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), fc.nat(file.length), (at, byte, length) => {
        const damaged = file.slice(0, length);
        if (at < length) damaged[at] = byte;
        const id = findBuildId(readOf(damaged));
        expect(id === undefined || id.length > 0).toBe(true);
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void findBuildId(readOf(bytes))));
  });

  it.skipIf(!hasReadelf())('is what readelf says of this very program (skipped where readelf is absent)', () => {
    const path = process.execPath;
    const expected = /Build ID: ([0-9a-f]+)/.exec(
      execFileSync('readelf', ['-n', path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    )?.[1];
    const id = findBuildId(readOf(readFileSync(path)));
    expect(id && Buffer.from(id).toString('hex')).toBe(expected);
  });
});
