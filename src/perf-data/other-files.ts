/** Files that are given in place of a capture, by their first bytes: the error says what the file is. */
import { ELF_HEADER_FIELDS, ELF_MAGIC } from '../abi/elf-note.ts';
import { decodeStruct, structBytes } from '../abi/layout.ts';
import { RingkeepError } from '../base/error.ts';

/** e_type of a core (elf(5)). */
const ET_CORE = 4;

/** The first bytes of compressed files, and the command that unpacks each. */
const COMPRESSED_FILES = [
  { kind: 'gzip', magic: [0x1f, 0x8b], command: 'gzip -d' },
  { kind: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], command: 'zstd -d' },
  { kind: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], command: 'xz -d' },
  { kind: 'bzip2', magic: [0x42, 0x5a, 0x68], command: 'bzip2 -d' },
  { kind: 'zip', magic: [0x50, 0x4b, 0x03, 0x04], command: 'unzip' },
] as const;

export const OTHER_FILE_HEAD_BYTES = structBytes(ELF_HEADER_FIELDS);

/** The error for a file with these first bytes, at most OTHER_FILE_HEAD_BYTES of them. */
export function otherFile(head: Uint8Array): RingkeepError {
  const refuse = (what: string, details: Record<string, string> = {}) =>
    new RingkeepError('not-a-capture', what, details);
  const compressed = COMPRESSED_FILES.find(({ magic }) => magic.every((byte, index) => head[index] === byte));
  if (compressed !== undefined) {
    const { kind, command } = compressed;
    return refuse(`the file is compressed with ${kind}`, { kind, command });
  }
  const padded = new Uint8Array(OTHER_FILE_HEAD_BYTES);
  padded.set(head);
  const { magic, type } = decodeStruct(ELF_HEADER_FIELDS, new DataView(padded.buffer), 0);
  if (magic === ELF_MAGIC && type === ET_CORE) return refuse('the file is a core dump', { kind: 'core' });
  if (magic === ELF_MAGIC) return refuse('the file is an ELF program or library', { kind: 'elf' });
  return refuse('the file does not begin as a perf.data file does');
}
