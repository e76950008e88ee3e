/** Test builder: what a cut holds of one thread. */
import { decodeRecord, type PerfRecord } from '../../abi/record.ts';
import type { Cut } from '../cut.ts';
import { attr } from './scripted-source.ts';

/** The thread's records, oldest first; undefined: it is not in the cut. Throws where it is there more than once. */
export function readCut({ threads }: Cut, tid: number): PerfRecord[] | undefined {
  const found = threads.filter((thread) => thread.tid === tid);
  if (found.length > 1) throw new Error(`thread ${tid} is in the cut ${found.length} times`);
  return found[0] && decodeAll(found[0].records).reverse();
}

/** The records of concatenated bytes, in their order. */
export function decodeAll(bytes: Uint8Array): PerfRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: PerfRecord[] = [];
  for (let at = 0; at < bytes.length; at += out.at(-1)!.size) out.push(decodeRecord(view, at, attr));
  return out;
}
