/**
 * Test builder: a scripted attachable source, with a recorder, attacher and removal watch on it. The tasks are those of
 * /proc; their records are scripted by the test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RingkeepError } from '../../base/error.ts';
import { exitOf, next, until } from '../../base/testing/waiting.ts';
import { DeathWatch } from '../../engine/death-watch.ts';
import { EventIds } from '../../engine/event-ids.ts';
import { type EngineOptions, Recorder } from '../../engine/recorder.ts';
import { newSessionId } from '../../engine/ring-store.ts';
import { SideBandStore } from '../../engine/side-band-store.ts';
import { attr, SCRIPTED_OPTIONS, ScriptedSource } from '../../engine/testing/scripted-source.ts';
import { RemovalWatch } from '../../linux/file-watch.ts';
import { Poller } from '../../linux/poller.ts';
import { readProcStat } from '../../linux/proc.ts';
import type { AttachableSource, EventSet, SourceEvent, TracepointWatch } from '../../source/source.ts';
import { Attacher } from '../attacher.ts';

export class ScriptedAttachableSource extends ScriptedSource implements AttachableSource {
  override readonly events: readonly SourceEvent[] = [{ name: 'cpu-clock', attr, ids: [] }];
  readonly pmu = 'software';
  readonly descriptorsPerThread = 1;
  readonly eventSets = new Set<EventSet>();
  /** Refusals, by tid. */
  readonly refusals = new Map<number, RingkeepError>();
  #lastId = 100;

  attachThread(_pid: number, tid: number): EventSet {
    const refusal = this.refusals.get(tid);
    if (refusal) throw refusal;
    return this.#newEventSet(tid);
  }

  attachAll(): EventSet {
    return this.#newEventSet(0);
  }

  #newEventSet(tid: number): EventSet {
    const ids = [BigInt(++this.#lastId)];
    const eventSet = { tid, events: this.events.map((event) => ({ ...event, ids })) };
    this.eventSets.add(eventSet);
    return eventSet;
  }

  detach(eventSet: EventSet): void {
    this.eventSets.delete(eventSet);
  }

  eventSetOf(idLow: number): EventSet | undefined {
    return [...this.eventSets].find((eventSet) => Number(idOf(eventSet)) === idLow);
  }

  watchTracepoint(): TracepointWatch {
    return { ids: [BigInt(++this.#lastId)], close: () => {} };
  }
}

/** The id that records of an event set's tasks carry. */
export function idOf(eventSet: EventSet): bigint {
  return eventSet.events[0]!.ids[0]!;
}

export interface ScriptedAttachments extends Disposable {
  readonly directory: string;
  readonly source: ScriptedAttachableSource;
  readonly recorder: Recorder;
  readonly attacher: Attacher;
  readonly deaths: DeathWatch;
  readonly removals: RemovalWatch;
  readonly poller: Poller;
  readonly sideBandLog: SideBandStore;
  /** As a breakdown leaves it: nothing open, every file in place. */
  abandon(): void;
}

/** In a fresh directory, or in `directory`, to adopt what is there. */
export function scriptedAttachments(options: Partial<EngineOptions> = {}): ScriptedAttachments {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'ringkeep-attachments-'));
  const source = new ScriptedAttachableSource();
  const poller = new Poller();
  const deaths = new DeathWatch(poller, 64);
  const removals = new RemovalWatch();
  const sessionId = options.sessionId ?? newSessionId();
  const sideBandLog = new SideBandStore(directory, sessionId, new EventIds(source.events).kept[0]!.attr);
  const recorder = new Recorder(
    source,
    { ...SCRIPTED_OPTIONS, directory, sessionId, ...options, isDetached: true, sideBandSink: sideBandLog },
    deaths,
  );
  const attacher = new Attacher({ source, recorder, deaths, removals }, directory);
  let isOpen = true;
  const abandon = () => {
    if (!isOpen) return;
    isOpen = false;
    recorder.close();
    sideBandLog.close();
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
    sideBandLog,
    abandon,
    [Symbol.dispose]() {
      abandon();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Ring files below the directory, by relative path. */
export function ringFilesIn(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile() && entry.parentPath !== directory)
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Memory allocated to files. */
export function allocatedBytes(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
}

/** Processes that do nothing until they are ended. */
export class Sleepers implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];

  /** Starts one more, waits until it is named `sleep` and asleep, and returns its pid. */
  async start(): Promise<number> {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    await next(child, 'spawn', 'sleep(1) to start');
    this.#children.push(child);
    await until('sleep(1) to be asleep', () => {
      const stat = readProcStat(`/proc/${child.pid}/stat`);
      return stat?.comm === 'sleep' && stat.state === 'S';
    });
    return child.pid!;
  }

  async end(pid: number): Promise<void> {
    const child = this.#children.find((candidate) => candidate.pid === pid)!;
    child.kill('SIGKILL');
    await exitOf(child, 'sleep(1)');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { pid } of this.#children) await this.end(pid!);
  }
}
