/** A recorder that records nothing: what the daemon and its clients need of one, in memory. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RingkeepError } from '../../base/error.ts';
import type { Target } from '../../engine/attachment.ts';
import type { DetachedRecorderOptions } from '../../services/detached-recorder.ts';
import type { AttachmentStatus, DetachedStatus, EventStatus, SnapshotSelection } from '../../session/control.ts';
import type { RecorderApi, SnapshotResult, TriggerOptions, TriggerStatus } from '../recorder-api.ts';

export class FakeRecorder implements RecorderApi {
  readonly directory: string;
  readonly #attachments = new Map<string, AttachmentStatus>();
  readonly #events = new Map<string, EventStatus>();
  readonly #triggers = new Map<number, TriggerStatus>();
  readonly snapshots: { selection: SnapshotSelection; output: string }[] = [];
  isStopped = false;

  constructor(directory = '/dev/shm/fake') {
    this.directory = directory;
  }

  status(): DetachedStatus {
    const threads = [...this.#attachments.values()].reduce((sum, attachment) => sum + attachment.threads, 0);
    return {
      version: '0.1.0',
      pid: process.pid,
      uid: process.getuid!(),
      source: 'perf',
      startedWallMs: 1_700_000_000_000,
      directory: this.directory,
      slotsPerCpu: 2,
      ringBytes: 65_536,
      memoryBytes: { now: threads * 8192, cap: 1 << 30 },
      stats: {
        tasks: threads,
        records: 1000,
        lost: 3,
        kernelLost: 2,
        unrecordedTasks: 1,
        unseenTasks: 0,
        pins: 50,
        unpins: 48,
        pinFailures: 0,
        pinnedBytes: { now: 16_384, peak: 32_768, bound: 278_528 },
        ringBytes: threads * 8192,
        evictedRings: 4,
        unknownEnds: 0,
      },
      threads,
      recordsPerSecond: 1234.5,
      recorderCpuSeconds: 1.5,
      recorderCpuShare: 0.012,
      cpus: [
        { cpu: 0, online: true, slots: [{ pid: 7, tid: 8, comm: 'node', pinnedBytes: 16_384 }] },
        { cpu: 1, online: false, slots: [] },
      ],
      attachments: [...this.#attachments.values()],
      adoption: null,
      degraded: [],
    };
  }

  async events(): Promise<readonly EventStatus[]> {
    return [...this.#events.values()];
  }

  async attach(target: Target, name = `a${this.#attachments.size + 1}`): Promise<AttachmentStatus> {
    const pid = target.kind === 'pid' ? target.pid : 7;
    if (pid === 4_000_000) throw new RingkeepError('no-such-thread', `there is no process ${pid}`, { pid });
    const attachment: AttachmentStatus = {
      name,
      target,
      pmu: 'software',
      attachedWallMs: 1_700_000_001_000,
      threads: 1,
      unrecorded: 0,
      degraded: [],
    };
    this.#attachments.set(name, attachment);
    const event = fakeEvent(this.directory, name, pid);
    this.#events.set(event.path, event);
    return attachment;
  }

  detach(name: string): void {
    if (!this.#attachments.delete(name)) throw new RingkeepError('no-such-event', `there is no attachment ${name}`);
    for (const { path, attachment } of this.#events.values()) if (attachment === name) this.#events.delete(path);
  }

  removeEvent(path: string): void {
    const absolute = path.startsWith('/') ? path : join(this.directory, path);
    if (!this.#events.delete(absolute)) throw new RingkeepError('no-such-event', `there is no event ${path}`, { path });
  }

  async snapshot(selection: SnapshotSelection, output: string): Promise<SnapshotResult> {
    this.snapshots.push({ selection, output });
    return {
      path: output,
      records: 990,
      threads: 1,
      cutNs: '123456789012345678',
      cutMs: 1.25,
      stallMs: 0.5,
      writeMs: 3,
      namesMs: null,
      bytes: 4096,
    };
  }

  triggers(): readonly TriggerStatus[] {
    return [...this.#triggers.values()];
  }

  addTrigger(on: string, options: TriggerOptions): TriggerStatus {
    if (on.startsWith('bug')) throw new Error('a bug in the recorder');
    const id = Math.max(0, ...this.#triggers.keys()) + 1;
    const trigger: TriggerStatus = {
      id,
      on,
      options,
      fired: 2,
      suppressed: 1,
      lastFiredWallMs: null,
      lastSnapshot: null,
      lastError: null,
    };
    this.#triggers.set(id, trigger);
    return trigger;
  }

  removeTrigger(id: number): void {
    if (!this.#triggers.delete(id)) throw new RingkeepError('no-such-trigger', `there is no trigger ${id}`, { id });
  }

  async stop(): Promise<void> {
    this.isStopped = true;
  }
}

export function fakeEvent(directory: string, attachment: string, pid: number): EventStatus {
  return {
    path: join(directory, attachment, 'software', String(pid)),
    attachment,
    pmu: 'software',
    pid,
    tid: pid,
    comm: 'node',
    alive: true,
    pinned: true,
    ringBytes: 8192,
    records: 1000,
    lost: 3,
    firstNs: '1000000000',
    lastNs: '3500000000',
  };
}

/** As a recorder starts: with a file in the directory of the event files, which goes when it stops. */
export async function startFake(options: DetachedRecorderOptions): Promise<FakeRecorder> {
  const mark = join(options.directory, 'mark');
  writeFileSync(mark, '', { mode: 0o600 });
  options.log('the fake recorder has started');
  return new (class extends FakeRecorder {
    override async stop(): Promise<void> {
      rmSync(mark, { force: true });
      await super.stop();
    }
  })(options.directory);
}
