/**
 * Samples /proc where perf is not permitted, and synthesizes perf records: COMM, FORK, EXIT and MMAP2 for changes, and
 * a SAMPLE with a payload of its own (src/abi/procfs-sample.ts) for every task that was active. A record carries the id
 * under which its process is followed.
 *
 * A scan, step by step:
 *  1. If every process is followed: find those that are new in /proc.
 *  2. For each followed process: list its tasks. Write EXIT for those gone, FORK for new ones.
 *  3. For each task: read its schedstat. Unchanged, and asleep before: write nothing, so that the ring of a quiet
 *     thread keeps its history. Else write a SAMPLE with state, CPU, wait channel and system call.
 *  4. Follow the children of its tasks from the next scan on.
 *
 * Invariant: scanning takes at most DUTY of one CPU; with more tasks the rate is lower, as `degraded` reports.
 */

import { closeSync, openSync, readlinkSync } from 'node:fs';
import {
  attrFlags,
  ClockId,
  type EventAttr,
  EventType,
  eventAttr,
  SampleType,
  SOFTWARE_EVENTS,
} from '../abi/event-attr.ts';
import { encodeProcfsSample } from '../abi/procfs-sample.ts';
import { encodeRecord } from '../abi/record.ts';
import { Misc } from '../abi/record-table.ts';
import { type RecordGeometry, recordGeometry } from '../abi/record-view.ts';
import { encodeSample } from '../abi/sample.ts';
import { RingkeepError } from '../base/error.ts';
import { recordClockNs } from '../linux/clock.ts';
import {
  listIds,
  type MapsEntry,
  parseMaps,
  parseProcStat,
  parseSchedStat,
  readProcStat,
  readProcText,
  type SchedStat,
  TICK_NS,
} from '../linux/proc.ts';
import type { RecordRun } from './source.ts';

/** The share of one CPU that scanning may take. */
const DUTY = 0.1;
const MAPS_INTERVAL_NS = 1_000_000_000;
/** The latency while no process is followed. */
const IDLE_LATENCY_MS = 100;

interface Task {
  readonly tid: number;
  comm: string;
  state: string;
  account: SchedStat;
}

interface Process {
  readonly pid: number;
  /** The id of its records. */
  id: bigint;
  readonly tasks: Map<number, Task>;
  /** Children from before it was followed: they are not followed. */
  earlierChildren: ReadonlySet<number>;
  exe: string;
  maps: string;
  mapsReadNs: number;
}

/** The state of following every process. */
interface AllTasks {
  readonly id: bigint;
  /** Processes of the last scan; undefined before the first. */
  seen: ReadonlySet<number> | undefined;
  /** Processes that are not readable. */
  refused: ReadonlySet<number>;
}

export class ProcfsScan {
  readonly attr: EventAttr;
  readonly geometry: RecordGeometry;
  readonly #periodNs: number;
  readonly #processes = new Map<number, Process>();
  #allTasks: AllTasks | undefined;
  /** Records of the current scan, by CPU. */
  #pending = new Map<number, Uint8Array[]>();
  #nextScanNs = 0;
  /** Duration of a scan, averaged over about eight: a single preempted scan must not lower the rate. */
  #scanNs = 0;
  /** Since the first process is followed. */
  #scans = 0;
  #firstScanNs = 0;
  readonly #hasChildrenFile: boolean;

  /** `freq` scans a second. Throws `bad-argument` for a rate of 0. */
  constructor(freq: number) {
    if (!(freq > 0)) throw new RingkeepError('bad-argument', 'a sampled source needs a rate above 0');
    this.#periodNs = 1e9 / freq;
    this.attr = eventAttr({
      type: EventType.software,
      config: BigInt(SOFTWARE_EVENTS.dummy!),
      samplePeriodOrFreq: BigInt(freq),
      sampleType:
        SampleType.identifier |
        SampleType.ip |
        SampleType.tid |
        SampleType.time |
        SampleType.cpu |
        SampleType.period |
        SampleType.raw,
      // Instruction pointers are of user space only: without excludeKernel, perf reports that a kernel map is missing.
      flags: attrFlags(
        'freq',
        'sampleIdAll',
        'useClockid',
        'excludeKernel',
        'mmap',
        'mmap2',
        'comm',
        'commExec',
        'task',
      ),
      clockid: ClockId.monotonic,
    });
    this.geometry = recordGeometry(this.attr);
    this.#hasChildrenFile = readProcText(`/proc/${process.pid}/task/${process.pid}/children`) !== undefined;
  }

  /** Follows a process, with all that it starts from now on. One that is followed already gets the new id. */
  follow(pid: number, id: bigint): void {
    const known = this.#processes.get(pid);
    if (known?.id === id) return;
    this.#wakeUp();
    const process = known ?? this.#begin(pid, id);
    process.id = id;
    process.earlierChildren = new Set([...process.tasks.keys()].flatMap((tid) => this.#childrenOf(pid, tid)));
  }

  /** Follows every readable process, future ones included. Those that are followed already keep their ids. */
  followAllTasks(id: bigint): void {
    if (this.#allTasks?.id === id) return;
    this.#wakeUp();
    this.#allTasks = { id, seen: undefined, refused: new Set() };
  }

  /** Stops following the processes with this id. */
  unfollow(id: bigint): void {
    if (this.#allTasks?.id === id) this.#allTasks = undefined;
    for (const process of this.#processes.values()) if (process.id === id) this.#processes.delete(process.pid);
  }

  #wakeUp(): void {
    if (this.#isIdle) this.#scans = 0;
    this.#nextScanNs = 0;
  }

  get #isIdle(): boolean {
    return this.#processes.size === 0 && this.#allTasks === undefined;
  }

  /** Milliseconds until the next scan is due. */
  get latencyMs(): number {
    if (this.#isIdle) return IDLE_LATENCY_MS;
    return Math.max(1, Math.ceil((this.#nextScanNs - this.#now()) / 1e6));
  }

  get degraded(): readonly string[] {
    const periodNs = this.#scans > 1 ? (this.#now() - this.#firstScanNs) / (this.#scans - 1) : this.#periodNs;
    const rate = Math.max(1, Math.round(1e9 / periodNs));
    const slowed =
      periodNs > this.#periodNs * 1.5
        ? `, not ${Math.round(1e9 / this.#periodNs)}, to limit the cost with this many tasks`
        : '';
    const { refused, seen } = this.#allTasks ?? { refused: new Set(), seen: undefined };
    return [
      `/proc is sampled ${rate} times per second${slowed}: single switches are not seen, and tasks that live for less than ${Math.ceil(periodNs / 1e6)}ms may be missed`,
      'there are no call stacks: a sleeping thread shows its system call and wait channel, a running one only its CPU time',
      ...(refused.size > 0
        ? [`${refused.size} of ${seen?.size} processes are not recorded: no permission to read them in /proc`]
        : []),
    ];
  }

  /** Scans if it is due: the records since the last `release`, CPU by CPU. */
  collect(): readonly RecordRun[] {
    const now = this.#now();
    if (now >= this.#nextScanNs) {
      this.#scan();
      if (this.#scans++ === 0) this.#firstScanNs = now;
      this.#scanNs += (this.#now() - now - this.#scanNs) / 8;
      this.#nextScanNs = now + Math.max(this.#periodNs, this.#scanNs / DUTY);
    }
    return [...this.#pending].map(([cpu, records]) => {
      const bytes = Buffer.concat(records);
      const words = new Int32Array(bytes.length >> 2);
      new Uint8Array(words.buffer).set(bytes);
      return { cpu, words, from: 0, to: words.length };
    });
  }

  /** The next `collect` scans. */
  expedite(): void {
    this.#nextScanNs = 0;
  }

  release(): void {
    this.#pending = new Map();
  }

  #now(): number {
    return Number(recordClockNs());
  }

  #emit(cpu: number, record: Uint8Array): void {
    const records = this.#pending.get(cpu);
    if (records) records.push(record);
    else this.#pending.set(cpu, [record]);
  }

  /** `exe`: its program, or the last known; a different one means an exec. */
  #add(pid: number, id: bigint, exe: string): Process {
    const process = { pid, id, tasks: new Map(), earlierChildren: new Set<number>(), exe, maps: '', mapsReadNs: 0 };
    this.#processes.set(pid, process);
    return process;
  }

  /** With its present threads, without FORK records for them. */
  #begin(pid: number, id: bigint): Process {
    const process = this.#add(pid, id, exeOf(pid));
    for (const tid of [pid, ...listIds(`/proc/${pid}/task`)]) this.#addTask(process, tid);
    return process;
  }

  #addTask(process: Process, tid: number): Task {
    // Timeslices of −1 differ from any that are read, so that the first scan writes a sample.
    const task: Task = { tid, comm: '', state: '', account: { onCpuNs: 0n, runDelayNs: 0n, timeslices: -1n } };
    process.tasks.set(tid, task);
    return task;
  }

  /** A process started by a followed one gets the same id. */
  #forkProcess(pid: number, parent: Process, parentTid: number, now: number): void {
    this.#emitFork(pid, pid, parent, parentTid, now);
    this.#addTask(this.#add(pid, parent.id, parent.exe), pid);
  }

  #forkThread(process: Process, tid: number, now: number): Task {
    this.#emitFork(process.pid, tid, process, process.pid, now);
    return this.#addTask(process, tid);
  }

  #emitFork(pid: number, tid: number, parent: Process, parentTid: number, now: number): void {
    const time = BigInt(Math.round(now));
    const body = { pid, ppid: parent.pid, tid, ptid: parentTid, time };
    this.#emit(0, encodeRecord('FORK', body, { pid: parent.pid, tid: parentTid, time, id: parent.id }, this.attr));
  }

  #scan(): void {
    if (this.#allTasks) this.#scanAllTasks(this.#allTasks);
    for (const process of [...this.#processes.values()]) this.#scanProcess(process);
  }

  /** Step 1. */
  #scanAllTasks(allTasks: AllTasks): void {
    const now = this.#now();
    const present = new Set(listIds('/proc'));
    const refused = new Set<number>();
    for (const pid of present) {
      if (this.#processes.has(pid)) continue;
      if (allTasks.refused.has(pid) || readRefusal(pid) !== undefined) {
        refused.add(pid);
        continue;
      }
      const isNew = allTasks.seen !== undefined && !allTasks.seen.has(pid);
      const parent = isNew ? this.#processes.get(readProcStat(`/proc/${pid}/stat`)?.ppid ?? 0) : undefined;
      if (parent) this.#forkProcess(pid, parent, parent.pid, now);
      else this.#begin(pid, allTasks.id);
    }
    allTasks.seen = present;
    allTasks.refused = refused;
  }

  #scanProcess(process: Process): void {
    const { pid, tasks } = process;
    const now = this.#now();
    const present = new Set(listIds(`/proc/${pid}/task`));
    for (const tid of [...tasks.keys()]) {
      if (!present.has(tid)) this.#taskIsGone(process, tid, now);
    }
    if (present.size === 0) {
      this.#processes.delete(pid);
      return;
    }
    for (const tid of present) {
      const task = tasks.get(tid) ?? this.#forkThread(process, tid, now);
      this.#sampleTask(process, task, now);
      if (!this.#allTasks) this.#followChildren(process, tid, now);
    }
    if (now - process.mapsReadNs > MAPS_INTERVAL_NS) this.#readMaps(process, now);
  }

  #taskIsGone(process: Process, tid: number, now: number): void {
    const { pid } = process;
    const time = BigInt(Math.round(now));
    this.#emit(
      0,
      encodeRecord('EXIT', { pid, ppid: pid, tid, ptid: pid, time }, { pid, tid, time, id: process.id }, this.attr),
    );
    process.tasks.delete(tid);
  }

  /** Step 3 for one task. */
  #sampleTask(process: Process, task: Task, now: number): void {
    const path = `/proc/${process.pid}/task/${task.tid}`;
    const schedText = readProcText(`${path}/schedstat`);
    const scheduled = schedText === undefined ? undefined : parseSchedStat(schedText);
    const wasIdle = task.state !== '' && task.state !== 'R';
    if (
      scheduled &&
      wasIdle &&
      scheduled.timeslices === task.account.timeslices &&
      scheduled.onCpuNs === task.account.onCpuNs
    )
      return;
    const statText = readProcText(`${path}/stat`);
    const stat = statText === undefined ? undefined : parseProcStat(statText);
    if (!stat) return;
    const account = scheduled ?? {
      onCpuNs: BigInt((stat.userTicks + stat.systemTicks) * TICK_NS),
      runDelayNs: 0n,
      timeslices: 0n,
    };
    const isUnchanged = stat.state === task.state && stat.state !== 'R' && account.onCpuNs === task.account.onCpuNs;
    if (stat.comm !== task.comm) this.#renamed(process, task, stat.comm, now);
    if (isUnchanged && account.timeslices === task.account.timeslices) return;
    this.#writeSample(process, task, stat, account, path, now);
    task.state = stat.state;
    task.account = account;
  }

  #writeSample(
    { pid, id: eventId }: Process,
    task: Task,
    stat: { state: string; cpu: number },
    account: SchedStat,
    path: string,
    now: number,
  ): void {
    const where = stat.state === 'R' ? { syscall: -1n, ip: 0n } : parseSyscall(readProcText(`${path}/syscall`));
    const wchan = stat.state === 'R' ? '' : (readProcText(`${path}/wchan`) ?? '');
    const raw = encodeProcfsSample({
      state: stat.state.charCodeAt(0),
      cpu: stat.cpu,
      ...account,
      timeslices: account.timeslices,
      syscall: where.syscall,
      wchan: wchan === '0' ? '' : wchan,
    });
    const isFirst = task.state === '';
    const period = isFirst ? 0n : account.onCpuNs - task.account.onCpuNs;
    const id = { pid, tid: task.tid, time: BigInt(Math.round(now)), id: eventId, cpu: stat.cpu };
    this.#emit(stat.cpu, encodeSample(id, { ip: where.ip, period, raw }, this.attr));
  }

  #renamed(process: Process, task: Task, comm: string, now: number): void {
    task.comm = comm;
    const { pid } = process;
    const exe = (task.tid === pid && exeOf(pid)) || process.exe;
    const isExec = process.exe !== '' && exe !== process.exe;
    process.exe = exe;
    const id = { pid, tid: task.tid, time: BigInt(Math.round(now)), id: process.id };
    this.#emit(0, encodeRecord('COMM', { pid, tid: task.tid, comm }, id, this.attr, isExec ? Misc.commExec : 0));
    if (!isExec) return;
    process.maps = '';
    this.#readMaps(process, now);
  }

  /** Writes MMAP2 for executable mappings that are new since the last call. */
  #readMaps(process: Process, now: number): void {
    process.mapsReadNs = now;
    const text = readProcText(`/proc/${process.pid}/maps`);
    if (text === undefined || text === process.maps) return;
    const known = new Set(parseMaps(process.maps).map(mapsKey));
    process.maps = text;
    const id = { pid: process.pid, tid: process.pid, time: BigInt(Math.round(now)), id: process.id };
    for (const entry of parseMaps(text)) {
      if (!(entry.prot & 4) || entry.path === '[vsyscall]' || known.has(mapsKey(entry))) continue;
      this.#emit(0, encodeRecord('MMAP2', mmap2Body(process.pid, entry), id, this.attr, Misc.user));
    }
  }

  #followChildren(process: Process, tid: number, now: number): void {
    for (const child of this.#childrenOf(process.pid, tid)) {
      if (this.#processes.has(child) || process.earlierChildren.has(child)) continue;
      this.#forkProcess(child, process, tid, now);
    }
  }

  #childrenOf(pid: number, tid: number): number[] {
    if (this.#hasChildrenFile) {
      const text = readProcText(`/proc/${pid}/task/${tid}/children`) ?? '';
      return text.split(' ').filter(Boolean).map(Number);
    }
    // Kernels without CONFIG_PROC_CHILDREN: the parent of every process is in its stat.
    if (tid !== pid) return [];
    return listIds('/proc').filter((child) => readProcStat(`/proc/${child}/stat`)?.ppid === pid);
  }
}

/**
 * The errno with which the kernel refuses this process access to another; undefined: it is permitted. The check is that
 * of perf_event_open(2) (PTRACE_MODE_READ, ptrace(2)).
 */
export function readRefusal(pid: number): string | undefined {
  try {
    closeSync(openSync(`/proc/${pid}/maps`, 'r'));
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Gone, or a kernel thread, which has no memory (an error since Linux 6.14): neither is a refusal.
    return code === 'EACCES' || code === 'EPERM' ? code : undefined;
  }
}

function exeOf(pid: number): string {
  try {
    // The same program, though its file was replaced (proc_pid_exe(5)).
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return ''; // Gone or forbidden: an exec is then not detected, as `degraded` reports.
  }
}

/** `NR arg… sp pc` of /proc/TID/syscall (proc_pid_syscall(5)); `running` while it runs, `-1 sp pc` outside a call. */
export function parseSyscall(text: string | undefined): { syscall: bigint; ip: bigint } {
  const words = (text ?? '').trim().split(' ');
  if (words.length < 3) return { syscall: -1n, ip: 0n };
  return { syscall: BigInt(words[0]!), ip: BigInt(words.at(-1)!) };
}

function mapsKey(entry: MapsEntry): string {
  return `${entry.start} ${entry.end} ${entry.prot} ${entry.path}`;
}

/** The body of the MMAP2 that the kernel would have written for a line of /proc/PID/maps. */
export function mmap2Body(pid: number, entry: MapsEntry) {
  const object = new Uint8Array(24);
  const view = new DataView(object.buffer);
  view.setUint32(0, entry.major, true);
  view.setUint32(4, entry.minor, true);
  view.setBigUint64(8, entry.inode, true);
  return {
    pid,
    tid: pid,
    addr: entry.start,
    len: entry.end - entry.start,
    pgoff: entry.offset,
    object,
    prot: entry.prot,
    flags: entry.shared ? 1 : 2,
    filename: entry.path === '' ? '//anon' : entry.path,
  };
}
