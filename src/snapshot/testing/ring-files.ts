/** Test builder: a recorder's directory as it stands in tmpfs, made of rings whose records can be counted. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { encodeJournalHeader, journalFileName } from '../../ring/journal-file.ts';
import { initialiseRing, type RingEvent, type RingIdentity, ringGeometry } from '../../ring/ring-layout.ts';
import { RingWriter } from '../../ring/ring-writer.ts';
import { CPU_CLOCK, concat } from './synthetic.ts';

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

/** A journal file's bytes. */
export function journalImage(records: readonly Uint8Array[], sessionId = SESSION_ID): Uint8Array {
  return concat([encodeJournalHeader(sessionId, CPU_CLOCK.attr), ...records]);
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

export const JOURNAL_NAME = journalFileName(SESSION_ID);
