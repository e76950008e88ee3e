/**
 * The /proc source of processes that are attached to and detached from while it is open. Scanning is in procfs-scan.ts.
 *
 * /proc is read process by process, so an event set is a process with all that it starts from now on: its threads share
 * it, and detaching it ends the recording of all of them.
 *
 * Invariant: a process is followed under the id of one event set.
 */
import { PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import type { RecordGeometry } from '../abi/record-view.ts';
import { RingkeepError } from '../base/error.ts';
import { readProcStat } from '../linux/proc.ts';
import { ProcfsScan, readRefusal } from './procfs-scan.ts';
import type {
  AttachableSource,
  AttachableSourceOptions,
  EventSet,
  RecordRun,
  SourceEvent,
  TracepointWatch,
} from './source.ts';

export class AttachedProcfsSource implements AttachableSource {
  readonly kind = 'procfs';
  readonly pmu = 'procfs';
  /** Without ids: those are the event sets'. */
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly wakeFds: readonly number[] = [];
  /** Files of /proc are closed after each read. */
  readonly descriptorsPerThread = 0;
  readonly #scan: ProcfsScan;
  readonly #eventSetOfId = new Map<number, EventSet>();
  /** By pid; 0: every process. */
  readonly #eventSetOfPid = new Map<number, EventSet>();
  #lastId = 0;

  private constructor(scan: ProcfsScan) {
    this.#scan = scan;
    this.events = [{ name: PROCFS_EVENT_NAME, attr: scan.attr, ids: [] }];
    this.geometry = scan.geometry;
  }

  /**
   * /proc has no events, so only the rate is used. Throws `bad-argument` for a rate of 0, `procfs-refused` without a
   * /proc.
   */
  static open({ freq }: Pick<AttachableSourceOptions, 'freq'>): AttachedProcfsSource {
    const scan = new ProcfsScan(freq);
    if (readProcStat('/proc/self/stat') === undefined)
      throw new RingkeepError('procfs-refused', '/proc cannot be read', { pid: process.pid });
    return new AttachedProcfsSource(scan);
  }

  get latencyMs(): number {
    return this.#scan.latencyMs;
  }

  get degraded(): readonly string[] {
    return this.#scan.degraded;
  }

  /**
   * Follows the process of the thread. The event set is the same for all its threads, and has the process as its task.
   */
  attachThread(pid: number, tid: number): EventSet {
    if (readProcStat(`/proc/${pid}/task/${tid}/stat`) === undefined)
      throw new RingkeepError('no-such-thread', `there is no thread ${tid}`, { pid, tid });
    const errno = readRefusal(pid);
    if (errno) throw new RingkeepError('procfs-refused', `/proc/${pid} cannot be read: ${errno}`, { pid, tid, errno });
    return this.#eventSetOf(pid, (id) => this.#scan.follow(pid, id));
  }

  attachAll(): EventSet {
    return this.#eventSetOf(0, (id) => this.#scan.followAllTasks(id));
  }

  #eventSetOf(pid: number, begin: (id: bigint) => void): EventSet {
    const eventSet = this.#eventSetOfPid.get(pid) ?? this.#newEventSet(pid);
    // Needed for an existing event set too: its process may be gone, its children alive, and its PID reused.
    begin(idOf(eventSet));
    return eventSet;
  }

  #newEventSet(pid: number): EventSet {
    const id = ++this.#lastId;
    const eventSet = { tid: pid, events: this.events.map((event) => ({ ...event, ids: [BigInt(id)] })) };
    this.#eventSetOfPid.set(pid, eventSet);
    this.#eventSetOfId.set(id, eventSet);
    return eventSet;
  }

  detach(eventSet: EventSet): void {
    if (this.#eventSetOfPid.get(eventSet.tid) !== eventSet) return;
    const id = idOf(eventSet);
    this.#eventSetOfPid.delete(eventSet.tid);
    this.#eventSetOfId.delete(Number(id));
    this.#scan.unfollow(id);
  }

  eventSetOf(idLow: number): EventSet | undefined {
    return this.#eventSetOfId.get(idLow);
  }

  watchTracepoint(system: string, name: string): TracepointWatch {
    throw new RingkeepError('perf-refused', `the tracepoint ${system}:${name} needs perf`, {
      errno: 'ENOSYS',
      source: 'procfs',
    });
  }

  /** /proc is read wherever this process runs. */
  updateCpus(): void {}

  collect(): readonly RecordRun[] {
    return this.#scan.collect();
  }

  /** No record is lost between the scan and its collection. */
  lostRecords(): number {
    return 0;
  }

  expedite(): void {
    this.#scan.expedite();
  }

  release(): void {
    this.#scan.release();
  }

  close(): void {
    for (const eventSet of [...this.#eventSetOfPid.values()]) this.detach(eventSet);
  }
}

function idOf(eventSet: EventSet): bigint {
  return eventSet.events[0]!.ids[0]!;
}
