/** Test builder: a recorder's directory as it stands in tmpfs, made of rings whose records can be counted. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ClockId } from '../../abi/event-attr.ts';
import { initialiseRing, type RingEvent, type RingIdentity, ringGeometry } from '../../ring/ring-layout.ts';
import { RingWriter } from '../../ring/ring-writer.ts';
import { encodeSideBandHeader, sideBandFileName } from '../../ring/side-band-file.ts';
import type { RecoveryMoment } from '../recovered-snapshot.ts';
import { type RingsFound, readRingDirectory } from '../ring-directory.ts';
import { readHost } from '../snapshot.ts';
import { CPU_CLOCK, concat, ownCode, START_NS, ThreadRecords } from './synthetic.ts';

export const SESSION_ID = 0xabc123n;

/** A ring file's bytes, holding as many of `records` as fit. */
export function ringImage(
  records: readonly Uint8Array[],
  identity: Partial<RingIdentity> = {},
  events: readonly RingEvent[] = [CPU_CLOCK],
  finish: (writer: RingWriter) => void = () => {},
): Uint8Array {
  const geometry = ringGeometry(events, 8192);
  const words = new Int32Array(geometry.fileBytes >> 2);
  const whole = { sessionId: SESSION_ID, ringId: 0n, pid: 100, tid: 100, recorderPid: 2 ** 22, startTimeNs: 1n };
  initialiseRing(new Uint8Array(words.buffer), geometry, { ...whole, comm: 'main', ...identity }, events);
  const writer = new RingWriter(words, geometry);
  for (const record of records) {
    const own = record.slice();
    writer.write(new Int32Array(own.buffer), 0, own.length);
  }
  finish(writer);
  return new Uint8Array(words.buffer);
}

/** A side-band log file's bytes. */
export function sideBandImage(records: readonly Uint8Array[], sessionId = SESSION_ID): Uint8Array {
  return concat([encodeSideBandHeader(sessionId, CPU_CLOCK.attr), ...records]);
}

/** A fresh directory with these files, by their path in it. */
export function directoryWith(files: Readonly<Record<string, Uint8Array>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-rings-'));
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), bytes, { mode: 0o600 });
  }
  return directory;
}

export const JOURNAL_NAME = sideBandFileName(SESSION_ID);

/** What is found in a directory with these files, which is gone afterwards. */
export function foundIn(files: Readonly<Record<string, Uint8Array>>): RingsFound {
  const directory = directoryWith(files);
  try {
    return readRingDirectory(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A quarter of an hour behind the rings' records. */
export const MOMENT: RecoveryMoment = {
  clock: { clockid: ClockId.monotonic, wallNs: 1_790_000_000_000_000_000n, clockNs: START_NS + 10n ** 12n },
  host: readHost('ringkeep 0.1.0'),
  commandLine: ['ringkeep', 'recover'],
  livingRecorder: undefined,
};

const START = { startTimeNs: START_NS };
const main = new ThreadRecords(100, 100);
const worker = new ThreadRecords(100, 101);
const other = new ThreadRecords(200, 200);
const code = ownCode()[0]!;
const JOURNAL = sideBandImage([
  main.comm(START_NS, 'main'),
  main.mmap(START_NS + 1n, code),
  main.fork(START_NS + 2n, 100, 101),
  worker.comm(START_NS + 3n, 'worker'),
  other.comm(START_NS + 3n, 'other'),
  main.lost(START_NS + 4n, 5n),
]);

/** Switches and samples of one thread, oldest first. */
function activity(thread: ThreadRecords, count: number, fromNs = START_NS + 10n): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => {
    const time = fromNs + BigInt(index);
    return index % 3 === 2 ? thread.sample(time, code.addr + 16n) : thread.switched(time, index % 3 === 1);
  });
}

/** Two attachments, three threads; of the ring of 101 the beginning is overwritten. */
export const RECORDER_FILES = {
  [JOURNAL_NAME]: JOURNAL,
  'web/software/100': ringImage([main.comm(START_NS, 'main'), ...activity(main, 30)], START),
  'web/software/101': ringImage(activity(worker, 400), { ...START, tid: 101, comm: 'worker' }),
  'db/software/200': ringImage(activity(other, 20), { ...START, pid: 200, tid: 200, comm: 'other' }, [
    { ...CPU_CLOCK, ids: [77n, 78n] },
  ]),
};
