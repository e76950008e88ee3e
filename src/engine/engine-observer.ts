/**
 * The events of the engine, as the rooms above it see them. Observers are registered once they and the recorder exist;
 * an event that occurs before is not reported.
 *
 * Invariant: observers are called within a drain, in the order in which they were registered; they must not block.
 */
import type { EventSet } from '../source/source.ts';
import type { Attachment } from './attachment.ts';
import type { Thread } from './thread.ts';

export interface EngineObserver {
  /** A thread was entered or renamed. */
  threadNamed?(thread: Thread): void;
  /** A thread whose `isWatched` is set has ended. */
  threadEnded?(tid: number): void;
  /** A switch of a thread whose `isWatched` is set; `misc` of the record's header. */
  switched?(thread: Thread, timeNs: number, misc: number): void;
  /** A thread took a signal that ends its process. */
  signalDelivered?(pid: number, tid: number, comm: string, signal: number, timeNs: number): void;
  /** A sample in the task's context whose id belongs to none of the recorded events. */
  foreignSample?(tid: number, pid: number, timeNs: number, idLow: number): void;
  /** A thread has inherited the events of some CPUs only. */
  partiallyInherited?(thread: Thread): void;
  /** The kernel lost records before `timeNs`, of unknown tasks. */
  recordsLost?(timeNs: number): void;
  /** The kernel ended the events of a process at its exec: the process lives, and is not recorded any longer. */
  recordingEnded?(pid: number, comm: string, timeNs: number): void;
  /** Neither a thread nor a ring of the process is left. */
  processGone?(pid: number): void;
}

/** Knows which attachment and which events a record of a thread that was not entered yet belongs to. */
export interface EventSetOwner {
  /** By the low word of the record's id; undefined: none that is still attached. */
  attachedBy(idLow: number, pid: number): { attachment: Attachment; eventSet: EventSet } | undefined;
}

type EventName = keyof EngineObserver;

/** Calls every observer. */
export class EngineEvents {
  readonly #observers: EngineObserver[] = [];

  add(observer: EngineObserver): void {
    this.#observers.push(observer);
  }

  emit<E extends EventName>(event: E, ...args: Parameters<Required<EngineObserver>[E]>): void {
    for (const observer of this.#observers) {
      const method = observer[event] as ((...args: unknown[]) => void) | undefined;
      method?.apply(observer, args);
    }
  }
}
