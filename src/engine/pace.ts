/**
 * When a recorder on the main thread drains, and when the event loop has its turn: blocks the thread until there is something
 * to drain or something for the event loop (a signal, a connection, another thread's message).
 *
 * A thread of its own would cost more CPU time to start than a minute of recording; a wait elsewhere (libuv's pool) costs four
 * switches of threads each time. In return nothing else on this thread may take long.
 */
import { nowMs } from '../linux/clock.ts';
import { Poller } from '../linux/poller.ts';
import type { Source } from '../source/source.ts';

/**
 * Where a drain is long it is the pins of many threads that make it so, one a thread and batch: the next batch then may
 * grow for so many times as long, if no ring fills up before.
 */
const PAUSE_PER_DRAIN = 4;
const LONGEST_PAUSE_MS = 1000;
/**
 * So many waits at the beginning are short: small batches make V8 compile what drains them while this thread sleeps; in one
 * large first batch it would be interpreted from end to end.
 */
const FIRST_WAITS = 12;
const FIRST_WAIT_MS = 5;
/** A turn costs as much as draining a thousand records, so it is had when there is reason to: what one event sets off may take several. */
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

  /** Something was set off that the event loop has to go on with. */
  callEventLoop(): void {
    this.#turnsDue = TURNS_FOR_AN_EVENT;
  }

  /** The event loop's turn, if it is due. */
  async turn(): Promise<void> {
    if (this.poller.isEventLoopDue) this.callEventLoop();
    if (this.#turnsDue <= 0 && nowMs() - this.#turnedMs < LONGEST_WITHOUT_TURN_MS) return;
    // From within a poll of libuv, as the first call may be, there is none before the next setImmediate.
    if (this.#turnedMs === Number.NEGATIVE_INFINITY) await new Promise((resume) => setImmediate(resume));
    // What a turn begins to listen to, as to a connection that it accepted, is watched from the next turn on (uv__io_poll of
    // libuv): the last one before a wait must be one in which nothing came in.
    for (let turns = 0, before = -1; turns < TURNS_FOR_AN_EVENT && before !== eventsSoFar(); turns++) {
      before = eventsSoFar();
      await new Promise((resume) => setImmediate(resume));
      this.#turnsDue--;
    }
    this.#turnedMs = nowMs();
  }

  /** Blocks for as long as the source may be left alone, `mostMs` at most; the descriptors that are ready, the source's included. */
  wait(mostMs = Number.POSITIVE_INFINITY): number[] {
    const { latencyMs } = this.#source;
    const isFirst = this.#waits++ < FIRST_WAITS;
    const dueMs = isFirst ? Math.min(latencyMs, FIRST_WAIT_MS) : Math.max(latencyMs, this.#pauseMs);
    return this.poller.wait(Math.min(dueMs, mostMs));
  }

  /** Runs a drain and lets the next wait be as long as it makes sensible. */
  drain(drain: () => void): void {
    const startedMs = nowMs();
    drain();
    this.#pauseMs = Math.min((nowMs() - startedMs) * PAUSE_PER_DRAIN, LONGEST_PAUSE_MS);
  }

  close(): void {
    this.poller.close();
  }
}

/** Events that the event loop has served. */
function eventsSoFar(): number {
  return performance.nodeTiming.uvMetricsInfo.events;
}
