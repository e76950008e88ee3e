/**
 * What a process that has long been running would have told, had it been recorded from its beginning: names, mappings, who
 * began whom, and whether each thread runs or waits. Read from /proc, told as the records that the kernel would have written,
 * at the time of the attachment.
 *
 * Invariant: everything here may be asked of a process that ends meanwhile; it then tells less, and never throws.
 */
import { encodeRecord } from '../abi/record.ts';
import { Misc } from '../abi/record-table.ts';
import { type ProcStat, parseMaps, readProcStat, readProcText } from '../linux/proc.ts';
import { mmap2Body } from '../source/procfs-scan.ts';
import type { SourceEvent } from '../source/source.ts';

/** 4 of a mapping's protection: it may be executed, so samples may lie in it. */
const EXECUTE = 4;

/** A thread of a live process as it is now. */
export interface LiveThread {
  readonly tid: number;
  readonly comm: string;
  /** For the side-band log, then for its own ring. */
  readonly identity: Uint8Array;
  readonly state: Uint8Array;
}

/** The process's executable mappings, for the side-band log. `leader` as records are kept. */
export function mappingsOf(pid: number, timeNs: bigint, { attr, ids }: SourceEvent): Uint8Array[] {
  const id = { pid, tid: pid, time: timeNs, id: ids[0]! };
  return parseMaps(readProcText(`/proc/${pid}/maps`) ?? '')
    .filter(({ prot, path }) => prot & EXECUTE && path !== '[vsyscall]')
    .map((entry) => encodeRecord('MMAP2', mmap2Body(pid, entry), id, attr, Misc.user));
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

/** Nanoseconds on CLOCK_MONOTONIC at which the task began, to a tick of 10 ms; suspension since counts as having passed. */
export function startOf(stat: ProcStat, nowNs: bigint): bigint {
  const uptimeSeconds = Number(/^([\d.]+)/.exec(readProcText('/proc/uptime') ?? '')?.[1] ?? 0);
  const ageNs = BigInt(Math.round(uptimeSeconds * 1e9)) - BigInt(stat.startTicks) * 10_000_000n;
  return nowNs - ageNs;
}
