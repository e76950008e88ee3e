/**
 * A recording, seen from the main thread: starts the recorder's thread, asks it for cuts, ends it.
 * Invariant: after `finish` resolves or `failed` was reported, no thread, file, mapping or lock of the recording is left.
 */
import { closeSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Death } from '../abi/ringkeep-section.ts';
import { RingkeepError } from '../base/error.ts';
import type { FromWorker, PlainError, RecordingOptions, TakenCut, ToWorker, WorkerData } from './messages.ts';

export type { RecordingOptions, SourceChoice, TakenCut } from './messages.ts';

type Message<T extends FromWorker['type']> = Extract<FromWorker, { type: T }>;

export interface RecordingEvents {
  /** A process of the command, not the command itself, died of a signal. */
  readonly onDeath: (death: Death, taken: TakenCut | null) => unknown;
  /** A cut that was asked for. */
  readonly onCut: (taken: TakenCut) => unknown;
  /** The recorder broke down; the command goes on unrecorded. */
  readonly onFailure: (error: Error) => unknown;
}

/** What an eventfd takes to become readable (eventfd(2)). Plain I/O: the main thread loads no native code. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

export class Recording {
  readonly #worker: Worker;
  readonly #finished: Promise<Message<'finished'>>;
  #hasEnded = false;
  readonly source: Message<'ready'>;

  private constructor(worker: Worker, source: Message<'ready'>, events: RecordingEvents) {
    this.#worker = worker;
    this.source = source;
    this.#finished = new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        this.#hasEnded = true;
        events.onFailure(error);
        reject(error);
      };
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'death') events.onDeath(message.death, message.taken);
        else if (message.type === 'cut') events.onCut(message.taken);
        else if (message.type === 'failed') fail(revived(message.error));
        else if (message.type === 'finished') resolve(message);
      });
      worker.on('error', (error) => fail(operating(error)));
      // Behind a last message this changes nothing; without one, nobody must wait for it for ever.
      worker.on('exit', () => reject(new Error('the recorder’s thread has ended without a word')));
    });
    // Whoever finishes sees the failure; nobody need have finished yet when it comes.
    this.#finished.catch(() => {});
  }

  /** Starts recording; what it throws is what the recorder's thread threw (RingkeepError of any code). */
  static async start(options: RecordingOptions, events: RecordingEvents): Promise<Recording> {
    const data: WorkerData = { options };
    const worker = new Worker(new URL('./recorder-worker.js', import.meta.url), {
      workerData: data,
      // Descriptors are made by system calls and closed by their owners; Node's own account of them would only warn.
      trackUnmanagedFds: false,
    });
    const first = await new Promise<FromWorker>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', (error) => reject(operating(error)));
      worker.once('exit', () => reject(new Error('the recorder’s thread has ended before it began')));
    });
    if (first.type !== 'ready') {
      await worker.terminate();
      throw first.type === 'failed' ? revived(first.error) : new Error(`${first.type} before ready`);
    }
    worker.removeAllListeners('error').removeAllListeners('exit');
    return new Recording(worker, first, events);
  }

  /** Asks for a cut; it comes through `onCut`. */
  requestCut(): void {
    this.#send({ type: 'cut', reason: 'signal' });
  }

  /** Ends the recording after the command's end by `signal` (or null), with a last cut if wanted. */
  async finish(signal: number | null, cut: boolean): Promise<Message<'finished'>> {
    try {
      this.#send({ type: 'finish', signal, cut });
      return await this.#finished;
    } finally {
      this.#hasEnded = true;
      await this.#worker.terminate();
      closeSync(this.source.wakeFd);
    }
  }

  #send(message: ToWorker): void {
    if (this.#hasEnded) return;
    this.#worker.postMessage(message);
    writeSync(this.source.wakeFd, ONE);
  }
}

function revived(error: PlainError): Error {
  const { code, message, stack, details } = error;
  const cause = new Error(message);
  cause.stack = stack;
  return code ? new RingkeepError(code, message, details, { cause }) : cause;
}

/** What the system refused Node itself, as it refuses descriptors for the modules of a thread, is no bug of ours. */
function operating(error: Error): Error {
  const { code, syscall = 'open' } = error as NodeJS.ErrnoException;
  if (code !== 'EMFILE' && code !== 'ENFILE' && code !== 'ENOMEM') return error;
  return new RingkeepError('syscall', `${syscall} failed: ${code}`, { call: syscall, errno: code }, { cause: error });
}
