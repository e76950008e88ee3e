/**
 * Processes that come and go, as /proc shows them. What is read and written is in procfs-scan.ts.
 *
 * /proc is read process by process, so an origin is a process with what it starts from now on, whichever of its threads were
 * attached to: all have one origin, and detaching it ends the recording of all.
 *
 * Invariant: a process is followed under the id of one origin.
 */
import { PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import type { RecordGeometry } from '../abi/record.ts';
import { RingkeepError } from '../base/error.ts';
import { readProcStat } from '../linux/proc.ts';
import { ProcfsScan, readRefusal } from './procfs-scan.ts';
import type {
  AttachableSource,
  AttachableSourceOptions,
  Origin,
  RecordRun,
  SourceEvent,
  TracepointWatch,
} from './source.ts';

export class AttachedProcfsSource implements AttachableSource {
  readonly kind = 'procfs';
  readonly pmu = 'procfs';
  /** Without ids: those are the origins'. */
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly wakeFds: readonly number[] = [];
  /** Files of /proc are read and closed again. */
  readonly descriptorsPerThread = 0;
  readonly #scan: ProcfsScan;
  readonly #originOfId = new Map<number, Origin>();
  /** By the process; 0: every process. */
  readonly #originOfPid = new Map<number, Origin>();
  #lastId = 0;

  private constructor(scan: ProcfsScan) {
    this.#scan = scan;
    this.events = [{ name: PROCFS_EVENT_NAME, attr: scan.attr, ids: [] }];
    this.geometry = scan.geometry;
  }

  /** Only the rate counts: /proc has no events. Throws `bad-argument` for a rate of 0, `procfs-refused` without a /proc. */
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

  /** Follows the process of the thread: the origin is the same for all its threads, with the process as its task. */
  attachThread(pid: number, tid: number): Origin {
    if (readProcStat(`/proc/${pid}/task/${tid}/stat`) === undefined)
      throw new RingkeepError('no-such-thread', `there is no thread ${tid}`, { pid, tid });
    const errno = readRefusal(pid);
    if (errno) throw new RingkeepError('procfs-refused', `/proc/${pid} may not be read: ${errno}`, { pid, tid, errno });
    return this.#originOf(pid, (id) => this.#scan.follow(pid, id));
  }

  attachAll(): Origin {
    return this.#originOf(0, (id) => this.#scan.followEverybody(id));
  }

  #originOf(pid: number, begin: (id: bigint) => void): Origin {
    const origin = this.#originOfPid.get(pid) ?? this.#newOrigin(pid);
    // Also where the origin was there: its process may be gone, what that started still alive, and the number used again.
    begin(idOf(origin));
    return origin;
  }

  #newOrigin(pid: number): Origin {
    const id = ++this.#lastId;
    const origin = { tid: pid, events: this.events.map((event) => ({ ...event, ids: [BigInt(id)] })) };
    this.#originOfPid.set(pid, origin);
    this.#originOfId.set(id, origin);
    return origin;
  }

  detach(origin: Origin): void {
    if (this.#originOfPid.get(origin.tid) !== origin) return;
    const id = idOf(origin);
    this.#originOfPid.delete(origin.tid);
    this.#originOfId.delete(Number(id));
    this.#scan.unfollow(id);
  }

  originOf(idLow: number): Origin | undefined {
    return this.#originOfId.get(idLow);
  }

  watchTracepoint(system: string, name: string): TracepointWatch {
    throw new RingkeepError('perf-refused', `without perf there is no tracepoint ${system}:${name}`, {
      errno: 'ENOSYS',
      source: 'procfs',
    });
  }

  /** /proc is read wherever this process runs. */
  updateCpus(): void {}

  collect(): readonly RecordRun[] {
    return this.#scan.collect();
  }

  /** What is read is handed over as it is. */
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
    for (const origin of [...this.#originOfPid.values()]) this.detach(origin);
  }
}

function idOf(origin: Origin): bigint {
  return origin.events[0]!.ids[0]!;
}
