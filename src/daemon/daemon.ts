/**
 * The life of a daemon: directory, lock, event files, socket, recorder; released in reverse order.
 *
 *  1. Make the runtime directory and take the lock in it, or return the lock's holder.
 *  2. Find or make the directory of the event files, and lock it too: two runtime directories may link to the same one.
 *  3. Listen on the socket; requests wait for the recorder.
 *  4. Start the recorder: it may adopt the rings of an earlier one.
 *
 * Invariants: there is one daemon per directory; once `ended` resolves, no file of the daemon is left; once it rejects,
 * the rings of the failed recorder are left for the next one.
 */
import { closeSync, constants, lstatSync, openSync, rmSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import { lockHolder, tryLock } from '../linux/file-lock.ts';
import type { DetachedRecorderOptions } from '../services/detached-recorder.ts';
import { DaemonLock, type Holder } from './daemon-lock.ts';
import type { RecorderApi, StartRecorder } from './recorder-api.ts';
import {
  clearRuntimeDirectory,
  clearSocket,
  type EventDirectory,
  isDaemonFile,
  makeEventDirectory,
  makeRuntimeDirectory,
  type RuntimeDirectory,
  removeRuntimeDirectory,
} from './runtime-directory.ts';
import { type Server, serve } from './server.ts';

/** The recorder's options, less those that the daemon sets. */
export interface DaemonOptions extends Omit<DetachedRecorderOptions, 'directory' | 'onFailure'> {
  /** A request failed because of a bug; the daemon continues. */
  readonly onBug: (error: unknown) => void;
}

export class Daemon {
  readonly runtime: RuntimeDirectory;
  readonly recorder: RecorderApi;
  /** Rejects with the recorder's error when it fails. */
  readonly ended: Promise<void>;
  readonly #stop: () => void;

  private constructor(runtime: RuntimeDirectory, recorder: RecorderApi, stop: () => void, ended: Promise<void>) {
    this.runtime = runtime;
    this.recorder = recorder;
    this.#stop = stop;
    this.ended = ended;
  }

  /**
   * Starts a daemon, or returns the holder of the lock. Throws `runtime-directory`, `ring-directory` and what
   * `startRecorder` throws, after removing everything it made.
   */
  static async start(
    runtime: RuntimeDirectory,
    options: DaemonOptions,
    startRecorder: StartRecorder,
  ): Promise<Daemon | Holder> {
    makeRuntimeDirectory(runtime);
    const lock = await DaemonLock.take(runtime.lock);
    if (!(lock instanceof DaemonLock)) return lock;
    const held = new Held(runtime, lock);
    try {
      const end = withResolvers<void>();
      const recorder = await startServed(held, options, startRecorder, end);
      const ended = end.promise.then(
        () => held.letGo(recorder),
        async (error) => {
          await held.abandon();
          throw error;
        },
      );
      return new Daemon(runtime, recorder, end.resolve, ended);
    } catch (error) {
      await held.letGo();
      throw error;
    }
  }

  /** Stops it; `ended` resolves when that is done. */
  stop(): void {
    this.#stop();
  }
}

interface Deferred<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers<Value>(): Deferred<Value> {
  let settle: Omit<Deferred<Value>, 'promise'> | undefined;
  const promise = new Promise<Value>((resolve, reject) => {
    settle = { resolve, reject };
  });
  // Awaited later: an early rejection must not end the process as unhandled.
  promise.catch(() => undefined);
  return { promise, ...settle! };
}

async function startServed(
  held: Held,
  options: DaemonOptions,
  startRecorder: StartRecorder,
  end: Deferred<void>,
): Promise<RecorderApi> {
  const directory = held.takeEventDirectory(options.memoryBytes);
  const started = withResolvers<RecorderApi>();
  await held.listen({
    recorder: started.promise,
    isDaemonFile: (path) => isDaemonFile(path, held.runtime, directory.path),
    onDown: () => end.resolve(),
    onBug: options.onBug,
  });
  try {
    const recorder = await startRecorder({
      ...options,
      directory: directory.path,
      degraded: [...options.degraded, ...(directory.shortage ? [directory.shortage] : [])],
      onFailure: (error) => end.reject(error),
    });
    started.resolve(recorder);
    return recorder;
  } catch (error) {
    started.reject(error);
    throw error;
  }
}

function heldBy(pid: number | undefined, path: string): RingkeepError {
  const [who, details] = pid === undefined ? ['', { path }] : [` (pid ${pid})`, { path, pid }];
  return new RingkeepError(
    'runtime-directory',
    `another recorder of this user${who} has its event files in ${path}`,
    details,
  );
}

/** The resources of a daemon, and their release. */
class Held {
  readonly runtime: RuntimeDirectory;
  readonly #lock: DaemonLock;
  #events: EventDirectory | undefined;
  #eventsFd: number | undefined;
  #server: Server | undefined;

  constructor(runtime: RuntimeDirectory, lock: DaemonLock) {
    this.runtime = runtime;
    this.#lock = lock;
  }

  takeEventDirectory(neededBytes: number): EventDirectory {
    const { events: way } = this.runtime;
    const hadWay = lstatSync(way, { throwIfNoEntry: false }) !== undefined;
    const events = makeEventDirectory(this.runtime, neededBytes);
    const fd = openSync(events.path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    if (!tryLock(fd)) {
      const holder = lockHolder(fd);
      closeSync(fd);
      // Remove the link that was just made.
      if (!hadWay && events.path !== way) rmSync(way);
      throw heldBy(holder, events.path);
    }
    this.#eventsFd = fd;
    this.#events = events;
    return events;
  }

  async listen(recorder: Parameters<typeof serve>[1]): Promise<void> {
    // A killed daemon leaves its socket; the holder of the lock may remove it.
    clearSocket(this.runtime);
    this.#server = await serve(this.runtime.socket, recorder);
  }

  /** The socket first, so that no request reaches a stopped recorder; the lock last. */
  async letGo(recorder?: RecorderApi): Promise<void> {
    recorder?.leaveNames?.();
    await this.#server?.close();
    try {
      await recorder?.stop();
    } finally {
      if (this.#eventsFd !== undefined) closeSync(this.#eventsFd);
      clearRuntimeDirectory(this.runtime, this.#events?.path);
      this.#lock.release();
      removeRuntimeDirectory(this.runtime);
    }
  }

  /** Leaves the log and the event files, as a killed daemon does. */
  async abandon(): Promise<void> {
    await this.#server?.close();
    if (this.#eventsFd !== undefined) closeSync(this.#eventsFd);
    this.#lock.release();
  }
}
