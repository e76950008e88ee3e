/** The records of a source, decoded. */
import { decodeRecord, type PerfRecord } from '../../abi/record.ts';
import { nextRecordAt } from '../../abi/record-view.ts';
import type { Source } from '../source.ts';

/** All records since the last call; they are released. */
export function collected(source: Source): PerfRecord[] {
  const records: PerfRecord[] = [];
  for (const { words, from, to } of source.collect()) {
    for (let at = from; at < to; at = nextRecordAt(words, at)) {
      // A copy: decoded records refer to it after the ring is released.
      const { buffer } = words.slice(at, nextRecordAt(words, at));
      records.push(decodeRecord(new DataView(buffer), 0, source.events[0]!.attr));
    }
  }
  source.release();
  return records;
}
