/**
 * Test builder: a source that is attached to as a test says, and the recorder, attacher and removal watch on it. Which tasks
 * there are is what /proc says; what they do is written down in the test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RingkeepError } from '../../base/error.ts';
import { RemovalWatch } from '../../linux/file-watch.ts';
import { Poller } from '../../linux/poller.ts';
import { readProcStat } from '../../linux/proc.ts';
import type { AttachableSource, Origin, SourceEvent, TracepointWatch } from '../../source/source.ts';
import { Attacher } from '../attacher.ts';
import { DeathWatch } from '../death-watch.ts';
import { EventIds } from '../event-ids.ts';
import { JournalStore } from '../journal-store.ts';
import { type DetachedHooks, Recorder, type RecorderOptions } from '../recorder.ts';
import { newSessionId } from '../ring-store.ts';
import { attr, SCRIPTED_OPTIONS, ScriptedSource } from './scripted-source.ts';

export class ScriptedAttachableSource extends ScriptedSource implements AttachableSource {
  override readonly events: readonly SourceEvent[] = [{ name: 'cpu-clock', attr, ids: [] }];
  readonly pmu = 'software';
  readonly descriptorsPerThread = 1;
  readonly origins = new Set<Origin>();
  /** Why a thread is not to be had. */
  readonly refusals = new Map<number, RingkeepError>();
  #lastId = 100;

  attachThread(_pid: number, tid: number): Origin {
    const refusal = this.refusals.get(tid);
    if (refusal) throw refusal;
    return this.#newOrigin(tid);
  }

  attachAll(): Origin {
    return this.#newOrigin(0);
  }

  #newOrigin(tid: number): Origin {
    const ids = [BigInt(++this.#lastId)];
    const origin = { tid, events: this.events.map((event) => ({ ...event, ids })) };
    this.origins.add(origin);
    return origin;
  }

  detach(origin: Origin): void {
    this.origins.delete(origin);
  }

  originOf(idLow: number): Origin | undefined {
    return [...this.origins].find((origin) => Number(idOf(origin)) === idLow);
  }

  watchTracepoint(): TracepointWatch {
    return { ids: [BigInt(++this.#lastId)], close: () => {} };
  }

  updateCpus(): void {}
}

/** The id that records of an origin's tasks carry. */
export function idOf(origin: Origin): bigint {
  return origin.events[0]!.ids[0]!;
}

export interface ScriptedAttachments extends Disposable {
  readonly directory: string;
  readonly source: ScriptedAttachableSource;
  readonly recorder: Recorder;
  readonly attacher: Attacher;
  readonly deaths: DeathWatch;
  readonly removals: RemovalWatch;
  readonly poller: Poller;
  readonly journal: JournalStore;
  /** What the recorder told its triggers, by hook. */
  readonly told: { readonly [hook: string]: unknown[][] };
  /** As a breakdown leaves it: nothing open, every file where it is. */
  abandon(): void;
}

/** In a directory of its own, or, to go on in what another left, in `directory`. */
export function scriptedAttachments(options: Partial<RecorderOptions> = {}): ScriptedAttachments {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'ringkeep-attachments-'));
  const source = new ScriptedAttachableSource();
  const poller = new Poller();
  const deaths = new DeathWatch(poller, 64);
  const removals = new RemovalWatch();
  const sessionId = options.sessionId ?? newSessionId();
  const journal = new JournalStore(directory, sessionId, new EventIds(source.events, true).kept[0]!.attr);
  const told: Record<string, unknown[][]> = {};
  const tell = (hook: string) => {
    const calls: unknown[][] = [];
    told[hook] = calls;
    return (...args: unknown[]) => {
      calls.push(args);
    };
  };
  const detached: DetachedHooks = {
    journal,
    attachedBy: (idLow, pid) => attacher.attachedBy(idLow, pid),
    onThread: tell('onThread'),
    onThreadEnd: tell('onThreadEnd'),
    onSwitch: tell('onSwitch'),
    onFatalSignal: tell('onFatalSignal'),
    onForeignSample: tell('onForeignSample'),
    onHalfInherited: (thread) => attacher.noteHalf(thread),
    onLoss: tell('onLoss'),
  };
  const recorder = new Recorder(source, { ...SCRIPTED_OPTIONS, directory, sessionId, ...options, detached }, deaths);
  const attacher = new Attacher({ source, recorder, deaths, removals }, directory);
  let isOpen = true;
  const abandon = () => {
    if (!isOpen) return;
    isOpen = false;
    recorder.close();
    journal.close();
    deaths.close();
    removals.close();
    poller.close();
  };
  return {
    directory,
    source,
    recorder,
    attacher,
    deaths,
    removals,
    poller,
    journal,
    told,
    abandon,
    [Symbol.dispose]() {
      abandon();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Files below the directory, by their path in it; those of the session itself left out. */
export function ringFilesIn(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile() && entry.parentPath !== directory)
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Memory that files really take. */
export function allocatedBytes(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
}

/** Processes that do nothing until they are ended. */
export class Sleepers implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];

  /** The pid of one more; it has the name `sleep` and is asleep by then. */
  async start(): Promise<number> {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    await once(child, 'spawn');
    this.#children.push(child);
    for (;;) {
      const stat = readProcStat(`/proc/${child.pid}/stat`);
      if (stat?.comm === 'sleep' && stat.state === 'S') break;
      await new Promise((done) => setTimeout(done, 1));
    }
    return child.pid!;
  }

  async end(pid: number): Promise<void> {
    const child = this.#children.find((candidate) => candidate.pid === pid)!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { pid } of this.#children) await this.end(pid!);
  }
}
