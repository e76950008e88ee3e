/**
 * Synthetic recordings for tests and benchmarks: rings as a recorder delivers them, with known content.
 *
 * Invariant: everything that is put in can be counted from outside; times are u64 nanoseconds above 2^32, so that both
 * words matter.
 */
import { readFileSync } from 'node:fs';
import { attrFlags, ClockId, EventType, eventAttr, SampleType } from '../../abi/event-attr.ts';
import { encodeRecord } from '../../abi/record.ts';
import { Misc } from '../../abi/record-table.ts';
import { Context, encodeSample, type SampleId } from '../../abi/sample.ts';
import { readHost, type SnapshotEvent, type SnapshotInput, type SnapshotTask } from '../snapshot.ts';

export const START_NS = 1_430_000_000_000n;
export const CPU_CLOCK_ID = 23n;

export const CPU_CLOCK: SnapshotEvent = {
  name: 'cpu-clock',
  ids: [CPU_CLOCK_ID, 24n],
  attr: eventAttr({
    type: EventType.software,
    config: 0n,
    samplePeriodOrFreq: 99n,
    sampleType:
      SampleType.identifier |
      SampleType.ip |
      SampleType.tid |
      SampleType.time |
      SampleType.cpu |
      SampleType.period |
      SampleType.callchain,
    flags: attrFlags(
      'inherit',
      'excludeKernel',
      'mmap',
      'comm',
      'freq',
      'task',
      'sampleIdAll',
      'mmap2',
      'commExec',
      'useClockid',
      'contextSwitch',
    ),
    clockid: ClockId.monotonic,
  }),
};

/** Code that is mapped in this very process: files with real build ids, at addresses that resolve. */
export interface CodeMapping {
  readonly addr: bigint;
  readonly len: bigint;
  readonly pgoff: bigint;
  readonly filename: string;
}

export function ownCode(): CodeMapping[] {
  const lines = readFileSync('/proc/self/maps', 'utf8').matchAll(/^(\w+)-(\w+) r-xp (\w+) \S+ \d+ +(\S+)$/gm);
  return [...lines]
    .map(([, start, end, pgoff, filename]) => ({
      addr: BigInt(`0x${start}`),
      len: BigInt(`0x${end}`) - BigInt(`0x${start}`),
      pgoff: BigInt(`0x${pgoff}`),
      filename: filename!,
    }))
    .filter(({ filename }) => filename.startsWith('/') || filename === '[vdso]');
}

/** Builds records of one thread for the leader's attr. */
export class ThreadRecords {
  readonly pid: number;
  readonly tid: number;
  private readonly attr = CPU_CLOCK.attr;

  constructor(pid: number, tid: number) {
    this.pid = pid;
    this.tid = tid;
  }

  private id(time: bigint): SampleId {
    return { pid: this.pid, tid: this.tid, time, id: CPU_CLOCK_ID, cpu: this.tid % 2 };
  }

  comm(time: bigint, comm: string, misc = 0): Uint8Array {
    return encodeRecord('COMM', { pid: this.pid, tid: this.tid, comm }, this.id(time), this.attr, misc);
  }

  fork(time: bigint, childPid: number, childTid: number): Uint8Array {
    const body = { pid: childPid, ppid: this.pid, tid: childTid, ptid: this.tid, time };
    return encodeRecord('FORK', body, this.id(time), this.attr);
  }

  exit(time: bigint): Uint8Array {
    const body = { pid: this.pid, ppid: this.pid, tid: this.tid, ptid: this.pid, time };
    return encodeRecord('EXIT', body, this.id(time), this.attr);
  }

  mmap(time: bigint, code: CodeMapping): Uint8Array {
    const body = { pid: this.pid, tid: this.tid, prot: 5, flags: 2, ...code };
    return encodeRecord('MMAP2', body, this.id(time), this.attr, Misc.user);
  }

  switched(time: bigint, out: boolean): Uint8Array {
    return encodeRecord('SWITCH', {}, this.id(time), this.attr, out ? Misc.switchOut : 0);
  }

  lost(time: bigint, lost: bigint): Uint8Array {
    return encodeRecord('LOST', { id: CPU_CLOCK_ID, lost }, this.id(time), this.attr);
  }

  sample(time: bigint, ...ips: bigint[]): Uint8Array {
    const callchain = BigUint64Array.from([Context.user, ...ips]);
    return encodeSample(this.id(time), { ip: ips[0]!, period: 10_101_010n, callchain }, this.attr);
  }
}

/** The records as a backward ring gives them. */
export function newestFirst(records: readonly Uint8Array[]): Uint8Array {
  return concat([...records].reverse());
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function task(pid: number, tid: number, comm: string, records: readonly Uint8Array[]): SnapshotTask {
  return { pid, tid, comm, alive: true, records, lost: 0, pendingLost: 0, overwritten: 0, leftOutBytes: 0 };
}

export function input(fields: Partial<SnapshotInput>): SnapshotInput {
  return {
    events: [CPU_CLOCK],
    tasks: [],
    sideBandLog: [],
    cutNs: START_NS + 3_600_000_000_000n,
    host: readHost('ringkeep 0.1.0'),
    commandLine: ['ringkeep', 'record', '--', 'true'],
    clock: { clockid: ClockId.monotonic, wallNs: 1_790_000_000_000_000_000n, clockNs: START_NS },
    section: { source: 'perf', reason: 'signal', death: null, degraded: [], kernelLost: 0 },
    ...fields,
  };
}
