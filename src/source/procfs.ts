/**
 * Samples /proc where perf is forbidden, and says in perf's records what it saw: COMM, FORK, EXIT and MMAP2 for what has
 * changed, a SAMPLE with a payload of its own (src/abi/procfs-sample.ts) for every task that did anything.
 *
 * A scan, step by step:
 *  1. For each process followed: its tasks now. Those gone exit, those new are forked.
 *  2. For each task: the scheduler's account (schedstat). Unchanged and asleep before: nothing happened, nothing is written,
 *     so that a quiet thread keeps its history. Else state, CPU, wait channel and system call.
 *  3. The children of its tasks are followed from the next scan on.
 *
 * Invariant: scanning takes at most DUTY of one CPU; with more tasks the rate goes down, and `degraded` tells.
 */
import { readlinkSync } from 'node:fs';
import {
  attrFlags,
  ClockId,
  type EventAttr,
  EventType,
  eventAttr,
  SampleType,
  SOFTWARE_EVENTS,
} from '../abi/event-attr.ts';
import { encodeProcfsSample, PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import { encodeRecord, encodeSample, Misc, type RecordGeometry, recordGeometry } from '../abi/record.ts';
import { RingkeepError } from '../base/error.ts';
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
import type { RecordRun, Source, SourceEvent } from './source.ts';

export interface ProcfsSourceOptions {
  /** The process to follow, with all it starts. */
  readonly pid: number;
  /** Scans a second. */
  readonly freq: number;
}

const EVENT_ID = 1n;
/** The share of one CPU that scanning may take. */
const DUTY = 0.1;
const MAPS_INTERVAL_NS = 1_000_000_000;

interface Task {
  readonly tid: number;
  comm: string;
  state: string;
  account: SchedStat;
}

interface Process {
  readonly pid: number;
  readonly tasks: Map<number, Task>;
  exe: string;
  maps: string;
  mapsReadNs: number;
}

export class ProcfsSource implements Source {
  readonly kind = 'procfs';
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly wakeFds: readonly number[] = [];
  readonly #attr: EventAttr;
  readonly #periodNs: number;
  readonly #processes = new Map<number, Process>();
  /** Records of the scan under way, by CPU. */
  #pending = new Map<number, Uint8Array[]>();
  #nextScanNs = 0;
  /** What a scan takes, smoothed over about eight of them: one that was preempted must not slow the next ones down. */
  #scanNs = 0;
  #scans = 0;
  #firstScanNs = 0;
  #hasChildrenFile: boolean;

  private constructor(options: ProcfsSourceOptions) {
    this.#periodNs = 1e9 / options.freq;
    this.#attr = eventAttr({
      type: EventType.software,
      config: BigInt(SOFTWARE_EVENTS.dummy!),
      samplePeriodOrFreq: BigInt(options.freq),
      sampleType:
        SampleType.identifier |
        SampleType.ip |
        SampleType.tid |
        SampleType.time |
        SampleType.cpu |
        SampleType.period |
        SampleType.raw,
      // Instruction pointers are those of user space: without excludeKernel perf would ask for a kernel map to resolve them.
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
    this.events = [{ name: PROCFS_EVENT_NAME, attr: this.#attr, ids: [EVENT_ID] }];
    this.geometry = recordGeometry(this.#attr);
    this.#hasChildrenFile = readProcText(`/proc/${process.pid}/task/${process.pid}/children`) !== undefined;
    this.#follow(options.pid, 0, 0, this.#now());
  }

  /** Throws `bad-argument` for a rate of 0, `procfs-refused` where the process cannot be seen in /proc. */
  static open(options: ProcfsSourceOptions): ProcfsSource {
    if (!(options.freq > 0)) throw new RingkeepError('bad-argument', 'a sampled source needs a rate above 0');
    if (readProcStat(`/proc/${options.pid}/stat`) === undefined) {
      throw new RingkeepError('procfs-refused', `/proc/${options.pid} cannot be read`, { pid: options.pid });
    }
    return new ProcfsSource(options);
  }

  get latencyMs(): number {
    return Math.max(1, Math.ceil((this.#nextScanNs - this.#now()) / 1e6));
  }

  get degraded(): readonly string[] {
    const periodNs = this.#scans > 1 ? (this.#now() - this.#firstScanNs) / (this.#scans - 1) : this.#periodNs;
    const rate = Math.max(1, Math.round(1e9 / periodNs));
    const slowed =
      periodNs > this.#periodNs * 1.5
        ? `, not ${Math.round(1e9 / this.#periodNs)}, to stay cheap with so many tasks`
        : '';
    return [
      `/proc is sampled ${rate} times a second${slowed}: single switches are not seen, and tasks that live less than ${Math.ceil(periodNs / 1e6)}ms may be missed`,
      'there are no call stacks: a sleeping thread shows its system call and wait channel, a running one only its CPU time',
    ];
  }

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

  /** What is read is handed over as it is. */
  lostRecords(): number {
    return 0;
  }

  expedite(): void {
    this.#nextScanNs = 0;
  }

  release(): void {
    this.#pending = new Map();
  }

  close(): void {
    this.#processes.clear();
  }

  #now(): number {
    return Number(process.hrtime.bigint());
  }

  #emit(cpu: number, record: Uint8Array): void {
    const records = this.#pending.get(cpu);
    if (records) records.push(record);
    else this.#pending.set(cpu, [record]);
  }

  /** Begins with a process: its own FORK unless it is the first, its name and its mappings. */
  #follow(pid: number, parentPid: number, parentTid: number, now: number): void {
    const process: Process = { pid, tasks: new Map(), exe: '', maps: '', mapsReadNs: 0 };
    this.#processes.set(pid, process);
    const time = BigInt(Math.round(now));
    if (parentPid > 0) {
      const id = { pid: parentPid, tid: parentTid, time, id: EVENT_ID };
      this.#emit(0, encodeRecord('FORK', { pid, ppid: parentPid, tid: pid, ptid: parentTid, time }, id, this.#attr));
    }
    this.#addTask(process, pid, now, false);
  }

  #addTask(process: Process, tid: number, now: number, isThread: boolean): Task {
    const { pid } = process;
    const time = BigInt(Math.round(now));
    if (isThread) {
      const id = { pid, tid: pid, time, id: EVENT_ID };
      this.#emit(0, encodeRecord('FORK', { pid, ppid: pid, tid, ptid: pid, time }, id, this.#attr));
    }
    // An account of −1 differs from any that is read: the first scan always writes a sample.
    const task: Task = { tid, comm: '', state: '', account: { onCpuNs: 0n, runDelayNs: 0n, timeslices: -1n } };
    process.tasks.set(tid, task);
    return task;
  }

  #scan(): void {
    for (const process of [...this.#processes.values()]) this.#scanProcess(process);
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
      const task = tasks.get(tid) ?? this.#addTask(process, tid, now, tid !== pid);
      this.#sampleTask(process, task, now);
      this.#followChildren(pid, tid, now);
    }
    if (now - process.mapsReadNs > MAPS_INTERVAL_NS) this.#readMaps(process, now);
  }

  #taskIsGone(process: Process, tid: number, now: number): void {
    const { pid } = process;
    const time = BigInt(Math.round(now));
    this.#emit(
      0,
      encodeRecord('EXIT', { pid, ppid: pid, tid, ptid: pid, time }, { pid, tid, time, id: EVENT_ID }, this.#attr),
    );
    process.tasks.delete(tid);
  }

  /** Step 2 for one task. */
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
    this.#writeSample(process.pid, task, stat, account, path, now);
    task.state = stat.state;
    task.account = account;
  }

  #writeSample(
    pid: number,
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
    const id = { pid, tid: task.tid, time: BigInt(Math.round(now)), id: EVENT_ID, cpu: stat.cpu };
    this.#emit(stat.cpu, encodeSample(id, { ip: where.ip, period, raw }, this.#attr));
  }

  #renamed(process: Process, task: Task, comm: string, now: number): void {
    task.comm = comm;
    const { pid } = process;
    const exe = task.tid === pid ? exeOf(pid) : process.exe;
    const isExec = exe !== process.exe;
    process.exe = exe;
    const id = { pid, tid: task.tid, time: BigInt(Math.round(now)), id: EVENT_ID };
    this.#emit(0, encodeRecord('COMM', { pid, tid: task.tid, comm }, id, this.#attr, isExec ? Misc.commExec : 0));
    if (!isExec) return;
    process.maps = '';
    this.#readMaps(process, now);
  }

  /** Writes MMAP2 for the executable mappings that are new since the last look. */
  #readMaps(process: Process, now: number): void {
    process.mapsReadNs = now;
    const text = readProcText(`/proc/${process.pid}/maps`);
    if (text === undefined || text === process.maps) return;
    const known = new Set(parseMaps(process.maps).map(mapsKey));
    process.maps = text;
    const id = { pid: process.pid, tid: process.pid, time: BigInt(Math.round(now)), id: EVENT_ID };
    for (const entry of parseMaps(text)) {
      if (!(entry.prot & 4) || entry.path === '[vsyscall]' || known.has(mapsKey(entry))) continue;
      this.#emit(0, encodeRecord('MMAP2', mmap2Body(process.pid, entry), id, this.#attr, Misc.user));
    }
  }

  #followChildren(pid: number, tid: number, now: number): void {
    for (const child of this.#childrenOf(pid, tid)) {
      if (!this.#processes.has(child)) this.#follow(child, pid, tid, now);
    }
  }

  #childrenOf(pid: number, tid: number): number[] {
    if (this.#hasChildrenFile) {
      const text = readProcText(`/proc/${pid}/task/${tid}/children`) ?? '';
      return text.split(' ').filter(Boolean).map(Number);
    }
    // Kernels without CONFIG_PROC_CHILDREN: every process says who its parent is.
    if (tid !== pid) return [];
    return listIds('/proc').filter((child) => readProcStat(`/proc/${child}/stat`)?.ppid === pid);
  }
}

function exeOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return ''; // Gone or forbidden: no exec is seen then, which `degraded` covers.
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
