/**
 * A daemon's life: directory, lock, event files, socket, recorder; and the same backwards.
 *
 *  1. The runtime directory is made, the lock in it taken; who does not get it is told who has it.
 *  2. The directory of the event files is found or made, and locked too: two runtime directories may lead to the same one.
 *  3. The socket listens; requests wait for the recorder.
 *  4. The recorder starts: it may adopt what is left of an earlier one.
 *
 * Invariants: there is one daemon a directory; once `ended` resolves without a failure, nothing of the daemon is left; after a failure
 * of the recorder its rings are left for the next one.
 */
import { closeSync, constants, lstatSync, openSync, rmSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import { lockHolder, tryLock } from '../linux/file-lock.ts';
import { DaemonLock, type Holder } from './daemon-lock.ts';
import type { RecorderApi, StartOptions, StartRecorder } from './recorder-api.ts';
import {
  clearRuntimeDirectory,
  clearSocket,
  type EventDirectory,
  makeEventDirectory,
  makeRuntimeDirectory,
  type RuntimeDirectory,
  removeRuntimeDirectory,
} from './runtime-directory.ts';
import { type Server, serve } from './server.ts';

/** What the daemon adds by itself to how its recorder is started. */
export interface DaemonOptions extends Omit<StartOptions, 'directory' | 'onFailure'> {
  /** A bug over a request, with its stack: the daemon goes on. */
  readonly onBug: (error: unknown) => void;
}

export class Daemon {
  readonly runtime: RuntimeDirectory;
  readonly face: RecorderApi;
  /** Rejects when the recorder breaks down, with its error. */
  readonly ended: Promise<void>;
  readonly #stop: () => void;

  private constructor(runtime: RuntimeDirectory, face: RecorderApi, stop: () => void, ended: Promise<void>) {
    this.runtime = runtime;
    this.face = face;
    this.#stop = stop;
    this.ended = ended;
  }

  /**
   * Starts a daemon, or says who is there already. Throws `runtime-directory`, `ring-directory` and what `startRecorder` throws, with
   * nothing of ours left but what was there before.
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
      const face = await startServed(held, options, startRecorder, end);
      const ended = end.promise.then(
        () => held.letGo(face),
        async (error) => {
          await held.abandon();
          throw error;
        },
      );
      return new Daemon(runtime, face, end.resolve, ended);
    } catch (error) {
      await held.letGo();
      throw error;
    }
  }

  /** Ends it in order; `ended` tells when that is done. */
  stop(): void {
    this.#stop();
  }
}

interface Deferred<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
}

/** Promise.withResolvers, which the oldest Node that we run on has not. */
function withResolvers<Value>(): Deferred<Value> {
  let settle: Omit<Deferred<Value>, 'promise'> | undefined;
  const promise = new Promise<Value>((resolve, reject) => {
    settle = { resolve, reject };
  });
  // Who waits for it comes later; an early rejection is not lost, and no reason to end the process.
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
  await held.listen({ face: started.promise, onDown: () => end.resolve(), onBug: options.onBug });
  try {
    const face = await startRecorder({
      ...options,
      directory: directory.path,
      degraded: [...options.degraded, ...(directory.shortage ? [directory.shortage] : [])],
      onFailure: (error) => end.reject(error),
    });
    started.resolve(face);
    return face;
  } catch (error) {
    started.reject(error);
    throw error;
  }
}

function heldBy(pid: number | undefined, path: string): RingkeepError {
  const [who, details] = pid === undefined ? ['', { path }] : [` (pid ${pid})`, { path, pid }];
  return new RingkeepError(
    'runtime-directory',
    `another recorder of yours${who} has its event files in ${path}`,
    details,
  );
}

/** What a daemon holds on to, and gives back. */
class Held {
  readonly #runtime: RuntimeDirectory;
  readonly #lock: DaemonLock;
  #events: EventDirectory | undefined;
  #eventsFd: number | undefined;
  #server: Server | undefined;

  constructor(runtime: RuntimeDirectory, lock: DaemonLock) {
    this.#runtime = runtime;
    this.#lock = lock;
  }

  takeEventDirectory(neededBytes: number): EventDirectory {
    const { events: way } = this.#runtime;
    const hadWay = lstatSync(way, { throwIfNoEntry: false }) !== undefined;
    const events = makeEventDirectory(this.#runtime, neededBytes);
    const fd = openSync(events.path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    if (!tryLock(fd)) {
      const holder = lockHolder(fd);
      closeSync(fd);
      // The link that was just made.
      if (!hadWay && events.path !== way) rmSync(way);
      throw heldBy(holder, events.path);
    }
    this.#eventsFd = fd;
    this.#events = events;
    return events;
  }

  async listen(recorder: Parameters<typeof serve>[1]): Promise<void> {
    // A daemon that was killed leaves its socket; it is ours to remove, since the lock is ours.
    clearSocket(this.#runtime);
    this.#server = await serve(this.#runtime.socket, recorder);
  }

  /** The socket first, so that nobody asks a recorder that is gone; the lock last. */
  async letGo(face?: RecorderApi): Promise<void> {
    await this.#server?.close();
    try {
      await face?.stop();
    } finally {
      if (this.#eventsFd !== undefined) closeSync(this.#eventsFd);
      clearRuntimeDirectory(this.#runtime, this.#events?.path);
      this.#lock.release();
      removeRuntimeDirectory(this.#runtime);
    }
  }

  /** As a daemon that was killed, but for the socket: the log and the event files stay. */
  async abandon(): Promise<void> {
    await this.#server?.close();
    if (this.#eventsFd !== undefined) closeSync(this.#eventsFd);
    this.#lock.release();
  }
}
