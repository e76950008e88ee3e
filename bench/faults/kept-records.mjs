// Records that are committed to rings, read from the files as another process would, and compared with later readings:
// the files again, a snapshot, the file that `ringkeep recover` writes.
//
// A ring is written backward: between two readings it gains the bytes by which its head went down, and behind these the
// bytes of the first reading must follow unchanged, as far as the ring reaches:
//
//   then            head ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
//   now   head ░░░░░░░░░░▓▓▓▓▓▓▓▓▓▓▓▓          the rest was overwritten
import { execFile } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { recordGeometry } from '../../dist/abi/record-view.js';
import { openCapture } from '../../dist/perf-data/capture.js';
import { readRing } from '../../dist/ring/ring-reader.js';
import { ANNOUNCE_AHEAD_BYTES } from '../../dist/ring/ring-writer.js';
import { ringkeep } from './processes.mjs';

const PAGE_BYTES = 4096;
const HEAD = 1024;
const TAIL = 1032;
const SAMPLE = 9;
const SWITCH = 14;
/** A sample with all the frames that the kernel takes (sysctl kernel.perf_event_max_stack) has 127 of them. */
const LARGE_RECORD_BYTES = 4096;

/** The rings of a recorder's directory by their id, and the files that are no rings. */
export function readRings(directory) {
  const rings = new Map();
  const unreadable = [];
  for (const path of ringFiles(directory)) {
    try {
      const image = readImage(path);
      const { header, records, end, leftOutBytes } = readRing(image);
      if (header.events.length === 0) throw new Error('never finished');
      rings.set(header.ringId, {
        path,
        header,
        head: wordAt(image, HEAD),
        inFlight: (wordAt(image, HEAD) - wordAt(image, TAIL)) >>> 0,
        records: Buffer.from(records.buffer, records.byteOffset, records.length),
        damagedBytes: end === 'damaged' ? leftOutBytes : 0,
      });
    } catch (error) {
      if (error.code !== 'ENOENT') unreadable.push({ path, why: error.message });
    }
  }
  return { rings, unreadable };
}

function wordAt(image, offset) {
  return new DataView(image.buffer).getUint32(offset, true);
}

export function ringFiles(directory) {
  const namesIn = (path) => (existsSync(path) && statSync(path).isDirectory() ? readdirSync(path) : []);
  return namesIn(directory)
    .filter((name) => statSync(join(directory, name)).isDirectory())
    .flatMap((attachment) =>
      namesIn(join(directory, attachment)).flatMap((pmu) =>
        namesIn(join(directory, attachment, pmu)).map((name) => join(directory, attachment, pmu, name)),
      ),
    );
}

/** Reads the head first, then the file, then the tail: a ring may be written meanwhile. */
function readImage(path) {
  const fd = openSync(path, 'r');
  try {
    const image = new Uint8Array(statSync(path).size);
    const [first, last] = [new Uint8Array(PAGE_BYTES), new Uint8Array(PAGE_BYTES)];
    readSync(fd, first, 0, PAGE_BYTES, 0);
    readSync(fd, image, 0, image.length, 0);
    readSync(fd, last, 0, PAGE_BYTES, 0);
    if (image.length >= PAGE_BYTES) {
      image.set(first);
      image.set(last.subarray(TAIL, TAIL + 8), TAIL);
    }
    return image;
  } finally {
    closeSync(fd);
  }
}

export function* recordsIn(bytes) {
  for (let at = 0, size = 0; at < bytes.length; at += size) {
    size = bytes.readUInt16LE(at + 6);
    yield bytes.subarray(at, at + size);
  }
}

export function countRecords(rings) {
  let count = 0;
  for (const { records } of rings.values()) for (const _ of recordsIn(records)) count++;
  return count;
}

/**
 * Of rings that no recorder writes: a sentence for each record that is damaged, of another thread, or not in time
 * order. Attaching synthesizes a record of a thread's state after its events were enabled: a ring may have one such
 * record, out of order, for each of `lives`.
 */
export function disorders(rings, lives) {
  const found = [];
  for (const { path, header, records, inFlight, damagedBytes } of rings.values()) {
    if (damagedBytes > 0) found.push(`${path}: ${damagedBytes} bytes are damaged`);
    if (inFlight > ANNOUNCE_AHEAD_BYTES + LARGE_RECORD_BYTES)
      found.push(`${path}: ${inFlight} bytes are announced, more than any record needs`);
    const { sample, fromEnd } = recordGeometry(header.events[0].attr);
    let newer = 2n ** 64n;
    let inversions = 0;
    for (const record of recordsIn(records)) {
      const isSample = record.readUInt32LE(0) === SAMPLE;
      const tid = record.readUInt32LE(isSample ? sample.tid : record.length - fromEnd.tid);
      const time = record.readBigUInt64LE(isSample ? sample.time : record.length - fromEnd.time);
      if (tid !== header.tid) found.push(`${path}: a record of thread ${tid} in the ring of ${header.tid}`);
      if (time > newer && (record.readUInt32LE(0) !== SWITCH || ++inversions > lives))
        found.push(`${path}: a record of type ${record.readUInt32LE(0)} at ${time} stands behind one of ${newer}`);
      newer = time;
    }
  }
  return found;
}

/**
 * A sentence for each ring of `before` of which `now` lacks bytes that were not overwritten. `mayGo`: may be removed.
 */
export function losses(before, now, mayGo = () => false) {
  const found = [];
  for (const [ringId, then] of before) {
    const ring = now.get(ringId);
    if (!ring) {
      if (!mayGo(then)) found.push(`${then.path}: the ring is gone`);
      continue;
    }
    const gained = (then.head - ring.head) >>> 0;
    const stands = gained < ring.records.length ? ring.records.subarray(gained) : Buffer.alloc(0);
    const common = Math.min(stands.length, then.records.length);
    if (!stands.subarray(0, common).equals(then.records.subarray(0, common)))
      found.push(`${then.path}: committed bytes have changed`);
    // Announced bytes may be overwritten, and the oldest record may be cut.
    const reach = ring.header.geometry.dataBytes - gained - ring.inFlight - largest(then.records);
    const missing = Math.min(then.records.length, reach) - stands.length;
    if (missing > 0) found.push(`${then.path}: ${missing} bytes of records are missing that were not overwritten`);
  }
  return found;
}

function largest(records) {
  let most = 0;
  for (const record of recordsIn(records)) most = Math.max(most, record.length);
  return most;
}

/** The records of a snapshot as comparable text; with the reason where it cannot be read whole. */
export function readSnapshot(path) {
  const bytes = readFileSync(path);
  const records = new Set();
  try {
    const capture = openCapture(bytes);
    const [damage] = capture.damage;
    if (damage) return { records, unreadable: `${path} is damaged at ${damage.offset}: ${damage.reason}` };
    for (let index = 0; index < capture.recordCount; index++) {
      capture.record(index);
      const at = capture.offsetAt(index);
      records.add(bytes.latin1Slice(at, at + capture.sizeAt(index)));
    }
    return { records };
  } catch (error) {
    return { records, unreadable: `${path}: ${error.message}` };
  }
}

/** A sentence for each ring with records `before` and `after` the snapshot that the snapshot lacks. */
export function missingIn(snapshot, before, after) {
  const found = [];
  for (const [ringId, { path, records }] of before) {
    const ring = after.get(ringId);
    if (!ring) continue;
    const still = new Set([...recordsIn(ring.records)].map((record) => record.latin1Slice()));
    let missing = 0;
    for (const record of recordsIn(records)) {
      const text = record.latin1Slice();
      if (still.has(text) && !snapshot.has(text)) missing++;
    }
    if (missing > 0) found.push(`${path}: ${missing} records are not in the snapshot`);
  }
  return found;
}

/**
 * Takes a snapshot and compares it with the rings `kept` before and with those before and after it, without the rings
 * at the paths `except`, which may hold anything.
 */
export async function checkSnapshot(recorder, path, findings, kept = new Map(), options = {}) {
  const { mayGo, except = new Set() } = options;
  const heldRings = () =>
    new Map([...readRings(recorder.report.directory).rings].filter((entry) => !except.has(entry[1].path)));
  const before = heldRings();
  await recorder.snapshot(path);
  const after = heldRings();
  const { records, unreadable } = readSnapshot(path);
  rmSync(path);
  findings.count('snapshots read');
  if (unreadable) findings.unreadable.push(unreadable);
  findings.lost.push(
    ...missingIn(records, kept, after),
    ...missingIn(records, before, after),
    ...losses(kept, after, mayGo),
    ...losses(before, after, mayGo),
  );
}

/** As `checkSnapshot`, of the file that `ringkeep recover` writes from the directory of a killed recorder. */
export async function checkRecovery(directory, path, findings, kept) {
  await promisify(execFile)(process.execPath, [ringkeep, 'recover', directory, '-o', path]);
  const { records, unreadable } = readSnapshot(path);
  rmSync(path);
  findings.count('recoveries read');
  if (unreadable) findings.unreadable.push(unreadable);
  findings.lost.push(...missingIn(records, kept, kept));
}
