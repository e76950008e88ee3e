/**
 * When a recorder on the main thread drains, and when the event loop runs: blocks the thread until the source wants to
 * be drained or the event loop has an event (a signal, a connection, a message of another thread).
 *
 * Starting a thread of its own costs more CPU time than a minute of recording; waiting in libuv's pool costs four
 * context switches each time.
 *
 * Invariant: the event loop runs at least every LONGEST_WITHOUT_TURN_MS, as long as no drain takes longer.
 */
import { nowMs } from '../linux/clock.ts';
import { Poller } from '../linux/poller.ts';
import type { Source } from '../source/source.ts';

/**
 * A long drain is due to the pins of many threads, one per thread and batch. The next wait then lasts this many times
 * as long as the drain, unless a ring buffer fills up before.
 */
const PAUSE_PER_DRAIN = 4;
const LONGEST_PAUSE_MS = 1000;
/**
 * The first waits are short: with small batches V8 compiles the drain while this thread sleeps, whereas one large first
 * batch would be interpreted to its end.
 */
const FIRST_WAITS = 12;
const FIRST_WAIT_MS = 5;
/**
 * A turn of the event loop costs as much as draining a thousand records, so it needs a reason; one event may take
 * several.
 */
const TURNS_FOR_AN_EVENT = 8;
const LONGEST_WITHOUT_TURN_MS = 500;

export class Pace {
  readonly poller = new Poller();
  readonly #source: Source;
  #waits = 0;
  #pauseMs = 0;
  #turnsDue = TURNS_FOR_AN_EVENT;
  #turnedMs = Number.NEGATIVE_INFINITY;

  constructor(source: Source) {
    this.#source = source;
    this.poller.addEventLoop();
    for (const fd of source.wakeFds) this.poller.add(fd);
  }

  /** The event loop has work: the next turns are due. */
  callEventLoop(): void {
    this.#turnsDue = TURNS_FOR_AN_EVENT;
  }

  /** Runs the event loop, if it is due. */
  async turn(): Promise<void> {
    if (this.poller.isEventLoopDue) this.callEventLoop();
    if (this.#turnsDue <= 0 && nowMs() - this.#turnedMs < LONGEST_WITHOUT_TURN_MS) return;
    // Within a poll of libuv, as the first call may be, no poll happens before the next setImmediate.
    if (this.#turnedMs === Number.NEGATIVE_INFINITY) await new Promise((resume) => setImmediate(resume));
    // A descriptor that a turn begins to watch, such as an accepted connection, is polled from the next turn on
    // (uv__io_poll of libuv): the last turn before a wait must be one without events.
    for (let turns = 0, before = -1; turns < TURNS_FOR_AN_EVENT && before !== eventsSoFar(); turns++) {
      before = eventsSoFar();
      await new Promise((resume) => setImmediate(resume));
      this.#turnsDue--;
    }
    this.#turnedMs = nowMs();
  }

  /**
   * Blocks until the source is due, at most `mostMs`. Returns the descriptors that are ready, the source's included.
   */
  wait(mostMs = Number.POSITIVE_INFINITY): number[] {
    const { latencyMs } = this.#source;
    const isFirst = this.#waits++ < FIRST_WAITS;
    const dueMs = isFirst ? Math.min(latencyMs, FIRST_WAIT_MS) : Math.max(latencyMs, this.#pauseMs);
    return this.poller.wait(Math.min(dueMs, mostMs));
  }

  /** Runs a drain; the next wait depends on how long it took. */
  drain(drain: () => void): void {
    const startedMs = nowMs();
    drain();
    this.#pauseMs = Math.min((nowMs() - startedMs) * PAUSE_PER_DRAIN, LONGEST_PAUSE_MS);
  }

  close(): void {
    this.poller.close();
  }
}

/** Events that the event loop has handled. */
function eventsSoFar(): number {
  return performance.nodeTiming.uvMetricsInfo.events;
}
