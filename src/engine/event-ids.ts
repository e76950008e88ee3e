/**
 * The event a sample belongs to, by the id it carries, and the id it is kept with.
 *
 * Each event that is opened has ids of its own, one a CPU: thousands, further ones while a recorder runs, and
 * meaningless after it ends. So records are kept with one id an event, its index in the list plus 1: every ring decodes
 * with the same short table, and another recorder can continue it.
 *
 * Invariant: every id of an event set leads to its event from `add` to `remove`.
 */
import { lowWord } from '../abi/layout.ts';
import { RecordType } from '../abi/record-table.ts';
import { identifierLowAt, recordTypeAt } from '../abi/record-view.ts';
import type { SourceEvent } from '../source/source.ts';

/** The id that every record but a SAMPLE is kept with: the leader delivers them. */
export const LEADER_ID = 1;

export class EventIds {
  /** The events as rings and snapshots list them, with the ids that records are kept with. */
  readonly kept: readonly SourceEvent[];
  readonly #indexOfLow = new Map<number, number>();

  constructor(events: readonly SourceEvent[]) {
    this.kept = events.map((event, index) => ({ ...event, ids: [BigInt(index + 1)] }));
    this.add(events);
  }

  /** `events` as the source lists them, with further ids. */
  add(events: readonly SourceEvent[]): void {
    for (const [index, { ids }] of events.entries()) {
      for (const id of ids) this.#indexOfLow.set(lowWord(id), index);
    }
  }

  remove(events: readonly SourceEvent[]): void {
    for (const { ids } of events) for (const id of ids) this.#indexOfLow.delete(lowWord(id));
  }

  /** Index of the event that the sample at word `at` belongs to; −1: no known one. */
  indexOfSample(words: Int32Array, at: number): number {
    return this.#indexOfLow.get(identifierLowAt(words, at)) ?? -1;
  }

  /** The id that the record at word `at` is kept with; 0, for a sample of an unknown event: its own. */
  keptId(words: Int32Array, at: number): number {
    return recordTypeAt(words, at) === RecordType.SAMPLE ? this.indexOfSample(words, at) + 1 : LEADER_ID;
  }
}
