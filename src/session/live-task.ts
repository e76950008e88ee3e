/**
 * Synthesized records of a live process: its names and mappings, and whether each thread runs or waits. They are read
 * from /proc at the time of the attachment, in place of the records that the kernel wrote before it.
 *
 * Invariant: nothing here throws for a process that exits meanwhile; records are then missing.
 */
import { encodeRecord } from '../abi/record.ts';
import { Misc } from '../abi/record-table.ts';
import { listIds, type ProcStat, parseMaps, readProcStat, readProcText } from '../linux/proc.ts';
import { mmap2Body } from '../source/procfs-scan.ts';
import type { SourceEvent } from '../source/source.ts';

/** PROT_EXEC: only samples in executable mappings are symbolized. */
const EXECUTE = 4;

/** Synthesized records of a live thread. */
export interface LiveThread {
  readonly tid: number;
  readonly comm: string;
  /** For the side-band log, then for its own ring. */
  readonly identity: Uint8Array;
  readonly state: Uint8Array;
}

/**
 * MMAP2 records of the process's executable mappings, for the side-band log. `leader` is the event as records are kept.
 */
export function mappingsOf(pid: number, timeNs: bigint, { attr, ids }: SourceEvent): Uint8Array[] {
  const id = { pid, tid: pid, time: timeNs, id: ids[0]! };
  return parseMaps(mapsText(pid))
    .filter(({ prot, path }) => prot & EXECUTE && path !== '[vsyscall]')
    .map((entry) => encodeRecord('MMAP2', mmap2Body(pid, entry), id, attr, Misc.user));
}

/** The maps of the process. A main thread that has exited has none of its own: those of another thread serve. */
function mapsText(pid: number): string {
  const text = readProcText(`/proc/${pid}/maps`);
  if (text) return text;
  for (const tid of listIds(`/proc/${pid}/task`)) {
    const ofThread = tid === pid ? undefined : readProcText(`/proc/${pid}/task/${tid}/maps`);
    if (ofThread) return ofThread;
  }
  return '';
}

/** Undefined: it is gone. */
export function liveThread(pid: number, tid: number, timeNs: bigint, leader: SourceEvent): LiveThread | undefined {
  const stat = readProcStat(`/proc/${pid}/task/${tid}/stat`);
  if (!stat || stat.state === 'Z' || stat.state === 'X') return undefined;
  const { attr, ids } = leader;
  const id = { pid, tid, time: timeNs, cpu: stat.cpu, id: ids[0]! };
  return {
    tid,
    comm: stat.comm,
    identity: encodeRecord('COMM', { pid, tid, comm: stat.comm }, id, attr),
    state: encodeRecord('SWITCH', {}, id, attr, stat.state === 'R' ? 0 : Misc.switchOut),
  };
}

/**
 * The task's start on CLOCK_MONOTONIC in nanoseconds, to a tick of 10 ms. Time suspended since then is not subtracted.
 */
export function startOf(stat: ProcStat, nowNs: bigint): bigint {
  const uptimeSeconds = Number(/^([\d.]+)/.exec(readProcText('/proc/uptime') ?? '')?.[1] ?? 0);
  const ageNs = BigInt(Math.round(uptimeSeconds * 1e9)) - BigInt(stat.startTicks) * 10_000_000n;
  return nowNs - ageNs;
}
