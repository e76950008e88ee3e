/**
 * Which event a sample is of, by the id it carries, and the id it is kept with.
 *
 * Each event that is opened has ids of its own, one a CPU. There may be thousands, further ones while a recorder runs, and none
 * means anything after its end. So records are kept with one id an event, its place in the list: every ring decodes with the
 * same short table, and another recorder can continue it.
 *
 * Invariant: every id of an event set leads to its event from `add` to `remove`.
 */
import { lowWord } from '../abi/layout.ts';
import { RecordType } from '../abi/record-table.ts';
import { identifierLowAt, recordTypeAt } from '../abi/record-view.ts';
import type { SourceEvent } from '../source/source.ts';

/** The id that all but samples are kept with: they are records of the leader. */
export const LEADER_ID = 1;

export class EventIds {
  /** The events as rings and snapshots have them: with the ids that records are kept with. */
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

  /** Which of the events the sample at word `at` is of; −1: none that is known. */
  indexOfSample(words: Int32Array, at: number): number {
    return this.#indexOfLow.get(identifierLowAt(words, at)) ?? -1;
  }

  /** The id that the record at word `at` is kept with; 0, for a sample of an unknown event: the one it has. */
  keptId(words: Int32Array, at: number): number {
    return recordTypeAt(words, at) === RecordType.SAMPLE ? this.indexOfSample(words, at) + 1 : LEADER_ID;
  }
}
