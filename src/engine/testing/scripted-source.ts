/** Test builder: a source whose batches the test scripts, and a recorder on it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeRecord } from '../../abi/record.ts';
import { Misc } from '../../abi/record-table.ts';
import { recordGeometry } from '../../abi/record-view.ts';
import { encodeSample } from '../../abi/sample.ts';
import { Poller } from '../../linux/poller.ts';
import { commandEventAttr, parseEventSpec } from '../../source/event-spec.ts';
import type { RecordRun, Source, SourceEvent } from '../../source/source.ts';
import { DeathWatch } from '../death-watch.ts';
import { type EngineOptions, Recorder } from '../recorder.ts';

export const attr = commandEventAttr(parseEventSpec('cpu-clock'), {
  freq: 99,
  excludeKernel: true,
  countsLost: true,
  watermarkBytes: 1,
  sideBand: true,
});
const ID = 5n;

/** Who, when and where of a scripted record. */
export interface At {
  readonly tid: number;
  readonly pid?: number;
  readonly time: number;
  readonly cpu?: number;
  /** Id of the event that delivers it. */
  readonly id?: bigint;
}

function identity({ tid, pid = 1000, time, cpu = 0, id = ID }: At) {
  return { pid, tid, time: BigInt(time), cpu, id };
}

export const records = {
  switchIn: (at: At) => encodeRecord('SWITCH', {}, identity(at), attr),
  switchOut: (at: At) => encodeRecord('SWITCH', {}, identity(at), attr, Misc.switchOut),
  /** As a system-wide event delivers it. */
  wideSwitchOut: (at: At) => encodeRecord('SWITCH_CPU_WIDE', {}, identity(at), attr, Misc.switchOut),
  sample: (at: At, frames = 1) =>
    encodeSample(identity(at), { ip: 1n, period: 1n, callchain: new BigUint64Array(frames).fill(7n) }, attr),
  fork: (at: At, child: { tid: number; pid: number }) =>
    encodeRecord(
      'FORK',
      { pid: child.pid, tid: child.tid, ppid: at.pid ?? 1000, ptid: at.tid, time: BigInt(at.time) },
      identity(at),
      attr,
    ),
  exit: (at: At) =>
    encodeRecord('EXIT', { pid: at.pid ?? 1000, tid: at.tid, time: BigInt(at.time) }, identity(at), attr),
  comm: (at: At, comm: string, isExec = false) =>
    encodeRecord('COMM', { pid: at.pid ?? 1000, tid: at.tid, comm }, identity(at), attr, isExec ? Misc.commExec : 0),
  mmap: (at: At, addr: bigint) =>
    encodeRecord(
      'MMAP2',
      { pid: at.pid ?? 1000, tid: at.tid, addr, len: 4096n, filename: '/bin/true' },
      identity(at),
      attr,
    ),
  lost: (at: At, lost: number) => encodeRecord('LOST', { id: ID, lost: BigInt(lost) }, identity(at), attr),
};

export class ScriptedSource implements Source {
  readonly kind = 'perf';
  readonly events: readonly SourceEvent[] = [{ name: 'cpu-clock', attr, ids: [ID] }];
  readonly geometry = recordGeometry(attr);
  readonly degraded: readonly string[] = [];
  readonly wakeFds: readonly number[] = [];
  readonly latencyMs = 1;
  #next: Map<number, Uint8Array[]> = new Map();

  updateCpus(): void {}

  /** Puts records into the next batch, as come from `cpu`. */
  put(cpu: number, ...batch: Uint8Array[]): void {
    this.#next.set(cpu, [...(this.#next.get(cpu) ?? []), ...batch]);
  }

  collect(): readonly RecordRun[] {
    const runs = [...this.#next].map(([cpu, batch]) => {
      const bytes = Buffer.concat(batch);
      const words = new Int32Array(bytes.length >> 2);
      new Uint8Array(words.buffer).set(bytes);
      return { cpu, words, from: 0, to: words.length };
    });
    this.#next = new Map();
    return runs;
  }

  /** What the kernel has lost in all, with or without LOST records. */
  lost = 0;
  lostRecords(): number {
    return this.lost;
  }

  release(): void {}
  expedite(): void {}
  close(): void {}
}

export interface ScriptedRecorder extends Disposable {
  readonly source: ScriptedSource;
  readonly recorder: Recorder;
  readonly deaths: DeathWatch;
  readonly directory: string;
}

/** Options of scripted recorders, without the directory. */
export const SCRIPTED_OPTIONS: Omit<EngineOptions, 'directory'> = {
  ringBytes: 8192,
  slotsPerCpu: 2,
  pins: true,
  keepDeadBytes: 1 << 20,
  memoryBytes: 1 << 30,
  cpus: [0, 1],
};

export function scriptedRecorder(options: Partial<EngineOptions> = {}): ScriptedRecorder {
  const source = new ScriptedSource();
  const poller = new Poller();
  const deaths = new DeathWatch(poller, 4);
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'ringkeep-recorder-'));
  const recorder = new Recorder(source, { ...SCRIPTED_OPTIONS, directory, ...options }, deaths);
  return {
    source,
    recorder,
    deaths,
    directory,
    [Symbol.dispose]() {
      recorder.close();
      deaths.close();
      poller.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
