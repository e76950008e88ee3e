/** The /proc source of a command and all that it starts. Scanning is in procfs-scan.ts. */
import { PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import type { RecordGeometry } from '../abi/record-view.ts';
import { RingkeepError } from '../base/error.ts';
import { readProcStat } from '../linux/proc.ts';
import { ProcfsScan } from './procfs-scan.ts';
import type { RecordRun, Source, SourceEvent } from './source.ts';

export interface ProcfsSourceOptions {
  /** The process to follow, with all it starts. */
  readonly pid: number;
  /** Scans a second. */
  readonly freq: number;
}

const EVENT_ID = 1n;

export class ProcfsSource implements Source {
  readonly kind = 'procfs';
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly wakeFds: readonly number[] = [];
  readonly #scan: ProcfsScan;

  private constructor(scan: ProcfsScan) {
    this.#scan = scan;
    this.events = [{ name: PROCFS_EVENT_NAME, attr: scan.attr, ids: [EVENT_ID] }];
    this.geometry = scan.geometry;
  }

  /** Throws `bad-argument` for a rate of 0, `procfs-refused` where the process cannot be seen in /proc. */
  static open({ pid, freq }: ProcfsSourceOptions): ProcfsSource {
    const scan = new ProcfsScan(freq);
    if (readProcStat(`/proc/${pid}/stat`) === undefined) {
      throw new RingkeepError('procfs-refused', `/proc/${pid} cannot be read`, { pid });
    }
    scan.follow(pid, EVENT_ID);
    return new ProcfsSource(scan);
  }

  get latencyMs(): number {
    return this.#scan.latencyMs;
  }

  get degraded(): readonly string[] {
    return this.#scan.degraded;
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
    this.#scan.unfollow(EVENT_ID);
  }
}
