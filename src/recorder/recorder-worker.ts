/**
 * The recorder's thread: blocks in the kernel until there is something to drain, never in JavaScript's event loop, so
 * that nothing the main thread does delays a drain. Messages wake it through a descriptor.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { RingkeepError } from '../base/error.ts';
import { lockLimitBytes, resourceLimit } from '../linux/limits.ts';
import { clearWake, openWakeFd, Poller } from '../linux/poller.ts';
import { readCpus } from '../linux/proc.ts';
import { makeRingDirectory, type RingDirectory, removeRingDirectory } from '../linux/shmem.ts';
import { ringGeometry } from '../ring/ring-layout.ts';
import { PerfSource } from '../source/perf.ts';
import type { Source } from '../source/source.ts';
import { DeathWatch } from './death-watch.ts';
import type { FromWorker, PlainError, RecordingOptions, TakenCut, ToWorker, WorkerData } from './messages.ts';
import { planPins } from './pin-plan.ts';
import { Recorder } from './recorder.ts';

/** What a directory must be able to hold for recording to begin: rings are made one by one after that. */
const LEAST_DIRECTORY_BYTES = 1 << 20;
/** A crash loop must not fill a disk: later deaths are told, not saved. */
const MOST_DEATH_CUTS = 8;
/**
 * Where a drain is long it is the pins of many threads that make it so, one a thread and batch: the next batch then may
 * grow for so many times as long, if no ring fills up before.
 */
const PAUSE_PER_DRAIN = 4;
const LONGEST_PAUSE_MS = 1000;
/** How long the last drains may take. */
const LAST_DRAIN_MS = 500;
/** The part of the descriptors that watching processes may take. */
const WATCH_SHARE = 0.25;

const port = parentPort!;
const { options } = workerData as WorkerData;

function post(message: FromWorker): void {
  port.postMessage(message, transferable(message));
}

/** The big parts of a cut change hands instead of being copied. */
function transferable(message: FromWorker): ArrayBuffer[] {
  const taken = 'taken' in message ? message.taken : null;
  return taken ? taken.cut.threads.map(({ records }) => records.buffer as ArrayBuffer) : [];
}

async function openSource(wanted: RecordingOptions): Promise<{ source: Source; degraded: string[] }> {
  const { pid, freq, events } = wanted;
  if (wanted.source === 'procfs') return { source: await openProcfs(pid, freq), degraded: withoutEvents(events) };
  try {
    return { source: PerfSource.open({ pid, freq, events }), degraded: [] };
  } catch (error) {
    if (wanted.source === 'perf' || !(error instanceof RingkeepError) || error.code !== 'perf-refused') throw error;
    const degraded = [`perf events are refused here (${error.details.errno}): /proc is sampled instead`];
    return { source: await openProcfs(pid, freq), degraded: [...degraded, ...withoutEvents(events)] };
  }
}

/** Loaded only where it is needed: a start is CPU time that the recorded command could have had. */
async function openProcfs(pid: number, freq: number): Promise<Source> {
  const { ProcfsSource } = await import('../source/procfs.ts');
  return ProcfsSource.open({ pid, freq });
}

function withoutEvents(events: readonly { name: string }[]): string[] {
  return events.length > 0 ? [`without perf there is no ${events.map(({ name }) => name).join(', ')}`] : [];
}

class Session {
  readonly #poller = new Poller();
  readonly #wakeFd = openWakeFd();
  readonly #deaths = new DeathWatch(this.#poller, Math.floor(resourceLimit('nofile') * WATCH_SHARE));
  readonly #source: Source;
  readonly #directory: RingDirectory;
  readonly #recorder: Recorder;
  readonly #degraded: () => string[];
  #deathCuts = 0;
  #pauseMs = 0;

  constructor({ source, degraded }: { source: Source; degraded: readonly string[] }) {
    this.#source = source;
    const cpus = readCpus().online;
    const ringFileBytes = ringGeometry(source.events, options.ringBytes).fileBytes;
    const plan = planPins({
      cpus: cpus.length,
      ringFileBytes,
      slots: options.slots,
      budgetBytes: options.pinBudgetBytes,
      lockLimitBytes: lockLimitBytes(),
    });
    this.#directory = makeRingDirectory(LEAST_DIRECTORY_BYTES);
    const { fallback } = this.#directory;
    // Asked again for each cut: how much /proc sampling misses depends on how many tasks there came to be.
    this.#degraded = () => [...degraded, ...source.degraded, ...plan.degraded, ...(fallback ? [fallback] : [])];
    this.#recorder = new Recorder(
      source,
      {
        directory: this.#directory.path,
        ringBytes: options.ringBytes,
        slotsPerCpu: plan.slotsPerCpu,
        pins: plan.pins,
        keepDeadBytes: options.keepDeadBytes,
        cpus,
      },
      this.#deaths,
    );
    for (const fd of [...source.wakeFds, this.#wakeFd]) this.#poller.add(fd);
    const { kind, events } = source;
    post({
      type: 'ready',
      kind,
      events,
      degraded: this.#degraded(),
      directory: this.#directory.path,
      wakeFd: this.#wakeFd,
    });
  }

  /** Runs until the main thread says finish; the last message. Whatever ends it, no ring file is left. */
  run(): FromWorker {
    try {
      return this.#loop();
    } finally {
      this.#close();
    }
  }

  /** Gives everything back. A thread's end frees neither descriptors nor mappings that were made by system calls. */
  #close(): void {
    const parts = [this.#recorder, this.#deaths, this.#source, this.#poller];
    for (const part of parts) {
      try {
        part.close();
      } catch {
        // After a failure anything may be half-closed; the rest is to be closed all the same.
      }
    }
    removeRingDirectory(this.#directory);
  }

  #loop(): FromWorker {
    for (;;) {
      const ready = this.#poller.wait(Math.max(this.#source.latencyMs, this.#pauseMs));
      const startedMs = performance.now();
      this.#recorder.drain();
      this.#pauseMs = Math.min((performance.now() - startedMs) * PAUSE_PER_DRAIN, LONGEST_PAUSE_MS);
      if (this.#deaths.isWaiting) this.#handleEnds(ready);
      const last = ready.includes(this.#wakeFd) ? this.#handleMessages() : undefined;
      if (last) return last;
    }
  }

  #handleEnds(readyFds: readonly number[]): void {
    for (const { pid, status } of this.#deaths.collect(readyFds)) {
      if (status.signal !== null) this.#childDied(pid, status.signal);
    }
  }

  /** The answer to the last message, if that was among them. */
  #handleMessages(): FromWorker | undefined {
    clearWake(this.#wakeFd);
    for (let received = receiveMessageOnPort(port); received; received = receiveMessageOnPort(port)) {
      const message = received.message as ToWorker;
      if (message.type === 'finish') return this.#finish(message);
      post({ type: 'cut', taken: this.#take(message.reason, null) });
    }
    return undefined;
  }

  #childDied(pid: number, signal: number): void {
    // The end of a process is known before its last records are necessarily here.
    this.#recorder.drain();
    const death = this.#recorder.death(pid, signal);
    const isCut = options.cutOnDeath && this.#deathCuts < MOST_DEATH_CUTS;
    if (isCut) this.#deathCuts++;
    post({ type: 'death', death, taken: isCut ? this.#take('death', death) : null });
  }

  #take(reason: TakenCut['section']['reason'], death: TakenCut['section']['death']): TakenCut {
    return { cut: this.#recorder.cut(), section: this.#recorder.section(reason, death, this.#degraded()) };
  }

  #finish({ signal, cut }: { signal: number | null; cut: boolean }): FromWorker {
    this.#source.expedite();
    // Descendants that outlive the command may never stop: what they did until now is all that is waited for.
    const deadlineMs = performance.now() + LAST_DRAIN_MS;
    while (this.#recorder.drain() && performance.now() < deadlineMs);
    this.#recorder.settleLosses();
    // Children that ended together with the command may be known by now.
    this.#handleEnds(this.#poller.wait(0));
    const death = signal === null ? null : this.#recorder.death(options.pid, signal);
    const taken = cut ? this.#take(death ? 'death' : 'exit', death) : null;
    this.#recorder.close();
    const stats = this.#recorder.stats();
    const degraded = [...this.#degraded(), ...lateDegradation(stats)];
    return { type: 'finished', death, taken, stats, degraded };
  }
}

/** What only the run itself could tell was missed. */
function lateDegradation(stats: { unrecordedTasks: number; unknownEnds: number; pinFailures: number }): string[] {
  const { unrecordedTasks, unknownEnds, pinFailures } = stats;
  return [
    ...(unrecordedTasks > 0 ? [`${unrecordedTasks} tasks went unrecorded: no memory for their rings`] : []),
    ...(unknownEnds > 0 ? [`how ${unknownEnds} short-lived processes ended is not known`] : []),
    ...(pinFailures > 0 ? [`pinning a ring failed ${pinFailures} times; its records were lost meanwhile`] : []),
  ];
}

/** What was opened for a session that cannot begin is closed again: its events would stay on the command. */
function openSession(opened: { source: Source; degraded: readonly string[] }): Session {
  try {
    return new Session(opened);
  } catch (error) {
    opened.source.close();
    throw error;
  }
}

function plainError(error: unknown): PlainError {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  return error instanceof RingkeepError
    ? { code: error.code, message, stack, details: error.details }
    : { code: null, message, stack, details: {} };
}

try {
  post(openSession(await openSource(options)).run());
} catch (error) {
  post({ type: 'failed', error: plainError(error) });
}
