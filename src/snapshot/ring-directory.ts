/**
 * The one reader of a recorder's directory: its ring files and side-band logs. The recorder may have been killed, or
 * may be writing at this moment.
 *
 *   <dir>/journal-<session>               the side band of all processes (ring/side-band-file.ts)
 *   <dir>/<attachment>/<pmu>/<tid>        a detached recorder's rings; <tid>.<ring> once the TID was reused
 *   <dir>/<tid>.<ring>.ring               the rings of `ringkeep record`
 *
 * Files are read, not mapped: truncation gives a short read here, and would give a SIGBUS in a mapping.
 *
 * Invariants: a problem with a file is data (`problems`), and every other file is still read. Below the directory
 * itself no link is followed, and only regular files of its owner are opened: each name is resolved once, to an O_PATH
 * descriptor, and type and owner are those of that descriptor (open(2)).
 */
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { AUX_TAIL_OFFSET, DATA_HEAD_OFFSET, DATA_SIZE_OFFSET, DATA_TAIL_OFFSET, PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { readProcText } from '../linux/proc.ts';
import { isUnfinishedRing } from '../ring/ring-layout.ts';
import { type RingContents, readRing } from '../ring/ring-reader.ts';
import { isSideBandFileName, readSideBandFile, type SideBandFile } from '../ring/side-band-file.ts';

export interface FoundRing {
  readonly path: string;
  readonly contents: RingContents;
}

export interface FoundSideBand {
  readonly path: string;
  readonly sideBandLog: SideBandFile;
}

/** A file that is missing in part or in whole; `why` ends a sentence about it. */
export interface ProblemFile {
  readonly path: string;
  readonly why: string;
}

export interface RingsFound {
  readonly rings: readonly FoundRing[];
  readonly sideBandLogs: readonly FoundSideBand[];
  readonly problems: readonly ProblemFile[];
  /** Ring files whose header their recorder had not completed: they never held a record. */
  readonly unfinished: number;
}

/** One entry of a recorder's directory, or of a directory in it. */
export type DirectoryItem =
  | ({ readonly kind: 'ring' } & FoundRing)
  | ({ readonly kind: 'side-band' } & FoundSideBand)
  | ({ readonly kind: 'unreadable' } & ProblemFile)
  /**
   * `unfinished`: see RingsFound. `removed`: listed, and gone when it was opened. `other`: by its name or type no such
   * file.
   */
  | { readonly kind: 'unfinished' | 'removed' | 'other'; readonly path: string };

/** Directories below the recorder's own: attachment and PMU. */
const MOST_LEVELS = 2;
const RING_FILE_NAME = /^\d+(\.[0-9a-f]+)?(\.ring)?$/;
/** A ring has at most 1 GiB of data and as much AUX; nothing larger is read into memory. */
const LARGEST_FILE_BYTES = 3 * 2 ** 30;
/** A ring that its writer has lapped or resized during the read is read again. */
const MOST_READS = 5;
/** O_PATH of <fcntl.h>, which node:fs does not name: the descriptor stands for the inode, which is not opened. */
const O_PATH = 0o10000000;

/**
 * Reads every ring and side-band log in `directory`. Throws `capture-unreadable` when the directory itself cannot be
 * read.
 */
export function readRingDirectory(directory: string): RingsFound {
  return collect(itemsIn(directory));
}

/**
 * The entries of `directory` and of the directories in it, one file in memory at a time, ordered by name. Throws
 * `capture-unreadable` when the directory itself cannot be read.
 */
export function* itemsIn(directory: string): Generator<DirectoryItem, void, undefined> {
  const descriptor = openListed(directory);
  try {
    yield* walk({ descriptor, path: directory, owner: readableOwner(descriptor), level: 0 });
  } finally {
    closeSync(descriptor);
  }
}

/**
 * As readRingDirectory; given the runtime directory of a detached recorder, it reads what `events` in that is or links
 * to. `directory` is the one that was read.
 */
export function readRecorderDirectory(path: string): { directory: string; found: RingsFound } {
  const found = readRingDirectory(path);
  const directory = join(path, 'events');
  const events = found.rings.length > 0 ? undefined : tryOpenListed(directory);
  if (events === undefined) return { directory: path, found };
  try {
    const owner = ownerOf(path);
    if (fstatSync(events).uid !== owner) return { directory: path, found };
    return { directory, found: collect(walk({ descriptor: events, path: directory, owner, level: 0 })) };
  } finally {
    closeSync(events);
  }
}

/**
 * Reads one ring file, with the side-band logs of the nearest directory above it that has some. Throws `not-a-ring`,
 * `capture-unreadable`.
 */
export function readRingFile(path: string): RingsFound {
  let file: string;
  let owner: number;
  let contents: RingContents | undefined;
  try {
    // A link named by the user stands for its target.
    file = realpathSync(path);
    owner = ownerOf(file);
    contents = withOwnFile(file, owner, readImage);
  } catch (error) {
    throw error instanceof RingkeepError ? error : unreadable(path, error);
  }
  if (!contents)
    throw new RingkeepError('not-a-ring', `the creation of ${path} was interrupted`, { why: 'it was never finished' });
  const found: Found = { rings: [], sideBandLogs: [], problems: [], unfinished: 0 };
  addItem(found, { kind: 'ring', path, contents });
  let directory = dirname(file);
  for (let level = 0; level <= MOST_LEVELS && found.sideBandLogs.length === 0; level++) {
    addSideBandLogsIn(directory, owner, found);
    directory = dirname(directory);
  }
  return found;
}

/**
 * The pid of a recorder that has files mapped in `path`, or, where that is a ring file, in its directory; undefined:
 * none found.
 */
export function livingRecorder(path: string, { rings }: RingsFound): number | undefined {
  const pids = new Set(rings.map(({ contents }) => contents.header.recorderPid));
  const file = realpathSync(path);
  const prefix = ` ${statSync(file).isDirectory() ? file : dirname(file)}/`;
  return [...pids].find((pid) => readProcText(`/proc/${pid}/maps`)?.includes(prefix));
}

type Found = { rings: FoundRing[]; sideBandLogs: FoundSideBand[]; problems: ProblemFile[]; unfinished: number };

function collect(items: Iterable<DirectoryItem>): RingsFound {
  const found: Found = { rings: [], sideBandLogs: [], problems: [], unfinished: 0 };
  for (const item of items) addItem(found, item);
  return found;
}

function addItem(found: Found, item: DirectoryItem): void {
  const { path } = item;
  switch (item.kind) {
    case 'ring': {
      const { contents } = item;
      found.rings.push({ path, contents });
      if (contents.end === 'damaged')
        found.problems.push({ path, why: `${contents.leftOutBytes} bytes of it are damaged` });
      break;
    }
    case 'side-band': {
      const { sideBandLog } = item;
      found.sideBandLogs.push({ path, sideBandLog });
      if (sideBandLog.leftOutBytes > 0)
        found.problems.push({ path, why: `its last ${sideBandLog.leftOutBytes} bytes hold no whole record` });
      break;
    }
    case 'unreadable':
      found.problems.push({ path, why: item.why });
      break;
    case 'removed':
      found.problems.push({ path, why: 'it was removed meanwhile' });
      break;
    case 'unfinished':
      found.unfinished++;
  }
}

/** An open directory, as a level of the walk. `path` is for reports: nothing is opened by it. */
interface Level {
  readonly descriptor: number;
  readonly path: string;
  /** Whose files are read. */
  readonly owner: number;
  readonly level: number;
}

function* walk(at: Level): Generator<DirectoryItem, void, undefined> {
  let entries: Dirent[];
  try {
    entries = entriesOf(at.descriptor);
  } catch (error) {
    yield failed(at.path, error);
    return;
  }
  for (const entry of entries) {
    const path = join(at.path, entry.name);
    if (!entry.isDirectory()) yield itemOf(at, entry, path);
    else if (at.level < MOST_LEVELS) yield* walkInto(at, entry.name, path);
  }
}

function* walkInto({ descriptor, owner, level }: Level, name: string, path: string): Generator<DirectoryItem> {
  let inner: number;
  try {
    inner = openSync(inDirectory(descriptor, name), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    yield failed(path, error);
    return;
  }
  try {
    yield* walk({ descriptor: inner, path, owner, level: level + 1 });
  } finally {
    closeSync(inner);
  }
}

function itemOf({ descriptor, owner }: Level, entry: Dirent, path: string): DirectoryItem {
  const isSideBandLog = isSideBandFileName(entry.name);
  if (!entry.isFile() || !(isSideBandLog || RING_FILE_NAME.test(entry.name))) return { kind: 'other', path };
  try {
    const file = inDirectory(descriptor, entry.name);
    if (isSideBandLog) return { kind: 'side-band', path, sideBandLog: withOwnFile(file, owner, readSideBandLog) };
    const contents = withOwnFile(file, owner, readImage);
    return contents ? { kind: 'ring', path, contents } : { kind: 'unfinished', path };
  } catch (error) {
    return failed(path, error);
  }
}

function addSideBandLogsIn(path: string, owner: number, found: Found): void {
  // A ring decodes without a side-band log, so an unreadable directory has none.
  const descriptor = tryOpenListed(path);
  if (descriptor === undefined) return;
  try {
    for (const entry of entriesOf(descriptor)) {
      if (entry.isFile() && isSideBandFileName(entry.name))
        addItem(found, itemOf({ descriptor, path, owner, level: 0 }, entry, join(path, entry.name)));
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Ordered by name, so that two reads of a directory give the same. */
function entriesOf(descriptor: number): Dirent[] {
  return readdirSync(inDirectory(descriptor, ''), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The path of an entry of an open directory, whatever became of the directory's own path: openat(2) by /proc. */
function inDirectory(descriptor: number, name: string): string {
  return `/proc/self/fd/${descriptor}/${name}`;
}

/** Opens a directory, or what a link leads to. Throws `capture-unreadable`. */
function openListed(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function tryOpenListed(path: string): number | undefined {
  try {
    return openListed(path);
  } catch {
    return undefined; // Absent, or not permitted.
  }
}

/** Whose files are read: the user's own; for root those of the owner of the directory or file that it named. */
function readableOwner(descriptor: number): number {
  return process.geteuid!() || fstatSync(descriptor).uid;
}

/** As readableOwner, by path; only to be compared with the owner of an open file. Throws `capture-unreadable`. */
function ownerOf(path: string): number {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, O_PATH);
    return readableOwner(descriptor);
  } catch (cause) {
    throw unreadable(path, cause);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function readSideBandLog(descriptor: number, size: number): SideBandFile {
  const bytes = new Uint8Array(size);
  return readSideBandFile(bytes.subarray(0, fill(descriptor, bytes)));
}

/** The ring at one moment, read again if its writer lapped or resized it meanwhile; undefined for an unfinished one. */
function readImage(descriptor: number, size: number): RingContents | undefined {
  for (let reads = 1; ; reads++) {
    const { image, isMoving, isResized } = copyFile(descriptor, size);
    if (isUnfinishedRing(image)) return undefined;
    if (isResized && reads < MOST_READS) continue;
    const contents = readRing(image);
    if (contents.end !== 'damaged' || contents.recordCount > 0 || !isMoving || reads === MOST_READS) return contents;
  }
}

/**
 * As copyRing, by read(2): the user page for its head, the whole file, the user page again for its tail. Where a record
 * is depends on the data size (`narrow` and `widen` of RingWriter), so that has to be the same before the head is read
 * and after the tail.
 */
function copyFile(descriptor: number, size: number): { image: Uint8Array; isMoving: boolean; isResized: boolean } {
  const userPage = () => {
    const page = new Uint8Array(Math.min(PAGE_BYTES, size));
    fill(descriptor, page);
    return page;
  };
  const image = new Uint8Array(size);
  const before = userPage();
  const first = userPage();
  const length = fill(descriptor, image);
  const last = userPage();
  const after = userPage();
  image.set(first);
  for (const offset of [DATA_TAIL_OFFSET, AUX_TAIL_OFFSET])
    if (size >= PAGE_BYTES) image.set(last.subarray(offset, offset + 8), offset);
  const differ = (one: Uint8Array, other: Uint8Array, offset: number) =>
    Buffer.compare(one.subarray(offset, offset + 8), other.subarray(offset, offset + 8)) !== 0;
  return {
    image: image.subarray(0, length),
    isMoving: differ(first, last, DATA_HEAD_OFFSET),
    isResized: differ(before, after, DATA_SIZE_OFFSET),
  };
}

/** Throws `not-a-ring` with the reason (details.why), or what node:fs throws. */
function withOwnFile<T>(path: string, owner: number, use: (descriptor: number, size: number) => T): T {
  const refuse = (why: string): never => {
    throw new RingkeepError('not-a-ring', `a file cannot be read: ${why}`, { why });
  };
  return withDescriptor(path, O_PATH | constants.O_NOFOLLOW, (found) => {
    const stat = fstatSync(found);
    if (!stat.isFile()) refuse('it is not a regular file');
    if (stat.uid !== owner) refuse("it is another user's");
    if (stat.size > LARGEST_FILE_BYTES) refuse('it is larger than any ring');
    return withDescriptor(`/proc/self/fd/${found}`, constants.O_RDONLY, (descriptor) => use(descriptor, stat.size));
  });
}

function withDescriptor<T>(path: string, flags: number, use: (descriptor: number) => T): T {
  const descriptor = openSync(path, flags);
  try {
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Of one call of node:fs, which refuses 2 GiB and more. */
const MOST_READ_BYTES = 2 ** 30;

/** Reads from the start of the file; returns how many bytes there were, fewer where it ends before. */
function fill(descriptor: number, bytes: Uint8Array): number {
  let count = 0;
  while (count < bytes.length) {
    const read = readSync(descriptor, bytes, count, Math.min(MOST_READ_BYTES, bytes.length - count), count);
    if (read === 0) break;
    count += read;
  }
  return count;
}

/** Only a refusal by the system or by the format is data; any other error is a bug, and thrown on. */
function failed(path: string, error: unknown): DirectoryItem {
  if (error instanceof RingkeepError && error.details.why !== undefined)
    return { kind: 'unreadable', path, why: String(error.details.why) };
  if (!(error instanceof Error) || !('code' in error) || error instanceof RingkeepError) throw error;
  if (error.code === 'ENOENT') return { kind: 'removed', path };
  return { kind: 'unreadable', path, why: `it cannot be read: ${error.code}` };
}

function unreadable(path: string, cause: unknown): RingkeepError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return new RingkeepError('capture-unreadable', `cannot read ${path}`, { path, errno }, { cause });
}
