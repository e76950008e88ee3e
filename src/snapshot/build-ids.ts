/**
 * The build ids of the files that a snapshot maps, so that its addresses can be resolved on another machine.
 *
 * A mapping whose record carries the build id needs no other. Else the file is read once, through the process while it
 * lives, or from the path as this process sees it. A file that cannot be read, is not ELF or was changed after it was
 * mapped is left out, and so is one of which another content was mapped before: a wrong build id would be worse than
 * none.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { buildIdInNotes, findBuildId, type ReadAt } from '../abi/elf-note.ts';
import type { EventAttr } from '../abi/event-attr.ts';
import { KERNEL_DSO_NAME, VDSO_NAME } from '../abi/perf-data.ts';
import { decodeRecord } from '../abi/record.ts';
import { OVERLAYFS, openRegular } from '../linux/regular-file.ts';
import { type BuildId, hex, mappedBuildId } from '../perf-data/build-id.ts';
import type { ClockReading } from '../perf-data/features.ts';
import type { KernelModule } from './kernel-maps.ts';

const PROT_EXEC = 4;
/** Reading stops after this time: a snapshot after a crash must not wait for thousands of files on a slow disk. */
const TIME_LIMIT_MS = 2_000;

/** The latest mapping of one file. */
interface MappedFile {
  readonly timeNs: bigint;
  /** 0 where the record has none. */
  readonly inode: bigint;
  /** The id when the kernel put it into the record. */
  readonly buildId: string | null;
  /** Where the file is while the process lives. */
  readonly inProcess: string;
}

/** Collects MMAP2 records, then reads the build ids of what they map. */
export class BuildIdCollector {
  private readonly files = new Map<string, MappedFile>();
  /** Files of which mappings show more than one content. */
  private readonly ambiguous = new Set<string>();
  private readonly leader: EventAttr;

  constructor(leader: EventAttr) {
    this.leader = leader;
  }

  /** Adds the file of the MMAP2 record at `offset` (bytes) if the mapping is executable. */
  add(view: DataView, offset: number): void {
    const record = decodeRecord(view, offset, this.leader);
    if (record.name !== 'MMAP2' || !(record.body.prot & PROT_EXEC)) return;
    const { filename, object, pid, addr, len } = record.body;
    const isMemory = filename.startsWith('/memfd:') && mappedBuildId(object, record.misc) === null;
    if (isMemory) return;
    if (filename !== VDSO_NAME && (!filename.startsWith('/') || filename.startsWith('//'))) return;
    const words = new DataView(object.buffer, object.byteOffset, object.byteLength);
    const buildId = mappedBuildId(object, record.misc);
    const inode = buildId !== null ? 0n : words.getBigUint64(8, true);
    const known = this.files.get(filename);
    if (known !== undefined && (known.buildId !== buildId || known.inode !== inode)) this.ambiguous.add(filename);
    const inProcess = `/proc/${pid}/map_files/${addr.toString(16)}-${(addr + len).toString(16)}`;
    this.files.set(filename, { timeNs: record.id.time ?? 0n, inode, buildId, inProcess });
  }

  /** Reads the ids. `clock` converts mapping times to wall-clock time. */
  read(clock: ClockReading): BuildId[] {
    const deadline = performance.now() + TIME_LIMIT_MS;
    const found: BuildId[] = [];
    for (const [file, mapped] of this.files) {
      if (performance.now() > deadline) break;
      if (this.ambiguous.has(file)) continue;
      const buildId =
        mapped.buildId ??
        hexOf(
          file === VDSO_NAME
            ? readVdsoBuildId()
            : (readFileBuildId(mapped.inProcess, mapped, clock) ?? readFileBuildId(file, mapped, clock)),
        );
      if (buildId) found.push({ file, buildId, isKernel: false });
    }
    return found;
  }
}

/** The ids of the running kernel and its modules, as far as sysfs shows them. */
export function readKernelBuildIds(modules: readonly KernelModule[]): BuildId[] {
  const noteFiles = [
    { file: KERNEL_DSO_NAME, notes: '/sys/kernel/notes' },
    ...modules.map(({ name, fileName }) => ({ file: fileName, notes: `/sys/module/${name}/notes/.note.gnu.build-id` })),
  ];
  return noteFiles.flatMap(({ file, notes }) => {
    const buildId = hexOf(attempt(() => buildIdInNotes(readFileSync(notes))));
    return buildId ? [{ file, buildId, isKernel: true }] : [];
  });
}

function hexOf(id: Uint8Array | undefined): string | undefined {
  return id && hex(id);
}

function readFileBuildId(path: string, mapped: MappedFile, clock: ClockReading): Uint8Array | undefined {
  let fileSystem = 0;
  const open = () => {
    const opened = openRegular(path, () => true);
    fileSystem = opened?.fileSystem ?? 0;
    return opened?.descriptor;
  };
  return withFile(open, (descriptor) => {
    const status = fstatSync(descriptor, { bigint: true });
    return isAnother(mapped, status, fileSystem, clock) ? undefined : findBuildId(readerOf(descriptor, 0));
  });
}

/**
 * Whether the file is not the one that was mapped, or not with that content: it has another inode, as in another mount
 * namespace, or was changed later. overlayfs maps the inode of a lower layer: there a directory entry that is no newer
 * than the mapping decides.
 */
export function isAnother(
  { inode, timeNs }: Pick<MappedFile, 'inode' | 'timeNs'>,
  status: { readonly ino: bigint; readonly ctimeNs: bigint; readonly mtimeNs: bigint },
  fileSystem: number,
  clock: ClockReading,
): boolean {
  const isSameInode = inode === 0n || inode === status.ino;
  if (!isSameInode && fileSystem !== OVERLAYFS) return true;
  if (timeNs === 0n) return false;
  const changedNs = isSameInode ? status.mtimeNs : status.ctimeNs;
  return changedNs > clock.wallNs - (clock.clockNs - timeNs);
}

/** All 64-bit processes have the same vDSO, so this process's own serves. */
function readVdsoBuildId(): Uint8Array | undefined {
  const start = attempt(() => /^([0-9a-f]+)-\S+ .*\[vdso\]$/m.exec(readFileSync('/proc/self/maps', 'latin1'))?.[1]);
  if (start === undefined) return undefined;
  return withFile(
    () => openSync('/proc/self/mem', 'r'),
    (descriptor) => findBuildId(readerOf(descriptor, Number.parseInt(start, 16))),
  );
}

function readerOf(descriptor: number, base: number): ReadAt {
  return (offset, length) => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, base + offset));
  };
}

function withFile<T>(open: () => number | undefined, use: (descriptor: number) => T): T | undefined {
  return attempt(() => {
    const descriptor = open();
    if (descriptor === undefined) return undefined;
    try {
      return use(descriptor);
    } finally {
      closeSync(descriptor);
    }
  });
}

/** Errors of the file system give undefined; any other error is a bug and propagates. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return undefined;
    throw error;
  }
}
