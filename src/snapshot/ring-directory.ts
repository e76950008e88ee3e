/**
 * What a recorder's directory holds: ring files and side-band logs, read by someone else than their recorder, which may have been
 * killed or may be writing this very moment.
 *
 *   <dir>/side-band log-<session>               the side band of all processes (side-band log-file.ts)
 *   <dir>/<attachment>/<pmu>/<tid>        a detached recorder's rings; <tid>.<ring> once the thread's number was reused
 *   <dir>/<tid>.<ring>.ring               the rings of `ringkeep record`, without a side-band log
 *
 * Files are read, not mapped: one that is cut short meanwhile is a short read here, and would be a SIGBUS there. Links are not
 * followed, and files of other users not read: what stands in the directory must not lead anywhere else.
 *
 * Invariant: whatever is wrong with a file is data (`problems`); every other file is read all the same.
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
import { AUX_TAIL_OFFSET, DATA_HEAD_OFFSET, DATA_TAIL_OFFSET, PAGE_BYTES } from '../abi/user-page.ts';
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

/** A file that is not all there, and why: the end of a sentence about it. */
export interface ProblemFile {
  readonly path: string;
  readonly why: string;
}

export interface RingsFound {
  readonly rings: readonly FoundRing[];
  readonly sideBandLogs: readonly FoundSideBand[];
  readonly problems: readonly ProblemFile[];
  /** Files that their recorder was about to make rings of: no record was ever in them. */
  readonly unfinished: number;
}

/** Directories below the recorder's own: attachment and PMU. */
const MOST_LEVELS = 2;
const RING_FILE_NAME = /^\d+(\.[0-9a-f]+)?(\.ring)?$/;
/** A ring has at most 1 GiB of data and as much AUX; nothing larger is read into memory. */
const LARGEST_FILE_BYTES = 3 * 2 ** 30;
/** A writer that laps the reader is met again at another moment. */
const MOST_READS = 5;

/** Reads every ring and side-band log in `directory`. Throws `capture-unreadable` when the directory itself cannot be read. */
export function readRingDirectory(directory: string): RingsFound {
  const found: Found = { rings: [], sideBandLogs: [], problems: [], unfinished: 0 };
  let entries: Dirent[];
  try {
    entries = entriesOf(directory);
  } catch (cause) {
    throw unreadable(directory, cause);
  }
  const owner = ownerOf(directory);
  const walk = (path: string, inside: readonly Dirent[], level: number) => {
    for (const entry of inside) {
      const child = join(path, entry.name);
      const isSideBandLog = isSideBandFileName(entry.name);
      try {
        if (entry.isDirectory() && level < MOST_LEVELS) walk(child, entriesOf(child), level + 1);
        else if (!entry.isFile()) continue;
        else if (isSideBandLog) addSideBandLog(found, { path: child, sideBandLog: readSideBandLog(child, owner) });
        else if (RING_FILE_NAME.test(entry.name)) addRingFile(found, child, owner);
      } catch (error) {
        found.problems.push({ path: child, why: whyUnread(error) });
      }
    }
  };
  walk(directory, entries, 0);
  return found;
}

/**
 * As readRingDirectory, of a detached recorder's runtime directory too: `directory` is the one that was read, which is `events` in
 * that, or where it leads.
 */
export function readRecorderDirectory(path: string): { directory: string; found: RingsFound } {
  const found = readRingDirectory(path);
  const events = join(path, 'events');
  if (found.rings.length > 0 || !isDirectoryOf(events, ownerOf(path))) return { directory: path, found };
  return { directory: events, found: readRingDirectory(events) };
}

/** Whether it is a directory, or leads to one, of this user. */
function isDirectoryOf(path: string, owner: number): boolean {
  try {
    const stats = statSync(path);
    return stats.isDirectory() && stats.uid === owner;
  } catch {
    return false; // It leads to nothing, or to where we may not look.
  }
}

/** Reads one ring file, with the side-band logs of the nearest directory above it that has some. Throws `not-a-ring`, `capture-unreadable`. */
export function readRingFile(path: string): RingsFound {
  const owner = ownerOf(path);
  let file: string;
  let contents: RingContents | undefined;
  try {
    // Who names a link means what it leads to.
    file = realpathSync(path);
    contents = readImage(file, owner);
  } catch (error) {
    throw error instanceof RingkeepError ? error : unreadable(path, error);
  }
  const found: Found = { rings: [], sideBandLogs: [], problems: [], unfinished: 0 };
  if (!contents) throw new RingkeepError('not-a-ring', `${path} was never finished`, { why: 'it was never finished' });
  addRing(found, { path, contents });
  let directory = dirname(file);
  for (let level = 0; level <= MOST_LEVELS && found.sideBandLogs.length === 0; level++) {
    addSideBandLogsIn(directory, owner, found);
    directory = dirname(directory);
  }
  return found;
}

/**
 * The pid of a recorder that has rings mapped at this moment in `path`, a directory, or beside it, a ring file; undefined: none
 * was found.
 */
export function livingRecorder(path: string, { rings }: RingsFound): number | undefined {
  const pids = new Set(rings.map(({ contents }) => contents.header.recorderPid));
  const file = realpathSync(path);
  const prefix = ` ${statSync(file).isDirectory() ? file : dirname(file)}/`;
  return [...pids].find((pid) => readProcText(`/proc/${pid}/maps`)?.includes(prefix));
}

type Found = { rings: FoundRing[]; sideBandLogs: FoundSideBand[]; problems: ProblemFile[]; unfinished: number };

function addRing(found: Found, ring: FoundRing): void {
  const { end, leftOutBytes } = ring.contents;
  found.rings.push(ring);
  if (end === 'damaged') found.problems.push({ path: ring.path, why: `${leftOutBytes} bytes of it are damaged` });
}

function addSideBandLog(found: Found, sideBandLog: FoundSideBand): void {
  found.sideBandLogs.push(sideBandLog);
  const { leftOutBytes } = sideBandLog.sideBandLog;
  if (leftOutBytes > 0)
    found.problems.push({ path: sideBandLog.path, why: `its last ${leftOutBytes} bytes hold no whole record` });
}

function addSideBandLogsIn(directory: string, owner: number, found: Found): void {
  let names: string[];
  try {
    names = entriesOf(directory).flatMap((entry) => (entry.isFile() ? [entry.name] : []));
  } catch {
    return; // A ring decodes without a sideBandLog; a directory that may not be read has none for us.
  }
  for (const name of names.filter(isSideBandFileName)) {
    const path = join(directory, name);
    try {
      addSideBandLog(found, { path, sideBandLog: readSideBandLog(path, owner) });
    } catch (error) {
      found.problems.push({ path, why: whyUnread(error) });
    }
  }
}

/** In the order of their names, so that the same directory reads the same. */
function entriesOf(directory: string): Dirent[] {
  return readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whose files are read: one's own; root reads those of whoever owns what it was pointed to. */
function ownerOf(path: string): number {
  const self = process.geteuid?.() ?? 0;
  if (self !== 0) return self;
  try {
    return statSync(path).uid;
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function readSideBandLog(path: string, owner: number): SideBandFile {
  return withOwnFile(path, owner, (descriptor, size) => {
    const bytes = new Uint8Array(size);
    return readSideBandFile(bytes.subarray(0, fill(descriptor, bytes)));
  });
}

function addRingFile(found: Found, path: string, owner: number): void {
  const contents = readImage(path, owner);
  if (contents) addRing(found, { path, contents });
  else found.unfinished++;
}

/** The ring at one moment, taken again where a writer went all the way round meanwhile; undefined for one never finished. */
function readImage(path: string, owner: number): RingContents | undefined {
  return withOwnFile(path, owner, (descriptor, size) => {
    for (let reads = 1; ; reads++) {
      const { image, isMoving } = copyFile(descriptor, size);
      if (isUnfinishedRing(image)) return undefined;
      const contents = readRing(image);
      if (contents.end !== 'damaged' || contents.recordCount > 0 || !isMoving || reads === MOST_READS) return contents;
    }
  });
}

/**
 * As copyRing, by read(2): the user page for its head, everything, the user page again for its tail. Each read is a system call,
 * which copies what it finds at that time.
 */
function copyFile(descriptor: number, size: number): { image: Uint8Array; isMoving: boolean } {
  const first = new Uint8Array(Math.min(PAGE_BYTES, size));
  const last = new Uint8Array(Math.min(PAGE_BYTES, size));
  const image = new Uint8Array(size);
  fill(descriptor, first);
  const length = fill(descriptor, image);
  fill(descriptor, last);
  image.set(first);
  for (const offset of [DATA_TAIL_OFFSET, AUX_TAIL_OFFSET])
    if (size >= PAGE_BYTES) image.set(last.subarray(offset, offset + 8), offset);
  const headOf = (page: Uint8Array) => Buffer.from(page).toString('latin1', DATA_HEAD_OFFSET, DATA_HEAD_OFFSET + 8);
  return { image: image.subarray(0, length), isMoving: headOf(first) !== headOf(last) };
}

function withOwnFile<T>(path: string, owner: number, use: (descriptor: number, size: number) => T): T {
  return withFile(path, (descriptor) => {
    const { uid, size } = fstatSync(descriptor);
    if (uid !== owner)
      throw new RingkeepError('not-a-ring', `${path} is another user's`, { why: "it is another user's" });
    if (size > LARGEST_FILE_BYTES)
      throw new RingkeepError('not-a-ring', `${path} is too large`, { why: 'it is larger than any ring' });
    return use(descriptor, size);
  });
}

function withFile<T>(path: string, use: (descriptor: number) => T): T {
  // NONBLOCK: the name may by now belong to a FIFO.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Reads from the start of the file; returns how many bytes there were, fewer where it ends before. */
function fill(descriptor: number, bytes: Uint8Array): number {
  let count = 0;
  while (count < bytes.length) {
    const read = readSync(descriptor, bytes, count, bytes.length - count, count);
    if (read === 0) break;
    count += read;
  }
  return count;
}

/** What is wrong with one file. Anything but a refusal of the system or of the format is a bug and goes on up. */
function whyUnread(error: unknown): string {
  if (error instanceof RingkeepError && error.details.why !== undefined) return String(error.details.why);
  if (!(error instanceof Error) || !('code' in error) || error instanceof RingkeepError) throw error;
  return error.code === 'ENOENT' ? 'it was removed meanwhile' : `it cannot be read: ${error.code}`;
}

function unreadable(path: string, cause: unknown): RingkeepError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return new RingkeepError('capture-unreadable', `cannot read ${path}`, { path, errno }, { cause });
}
