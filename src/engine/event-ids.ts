/**
 * Which event a sample is of, by the id it carries, and the id it is kept with.
 *
 * Each event that is opened has ids of its own, one a CPU; where tasks come and go there are thousands, and none of them means
 * anything after a recorder's death. So a detached recorder keeps records with one id an event, its place in the list: any
 * ring then decodes with the same short table, and another recorder can write on in it.
 *
 * Invariant: every id of an event set leads to its event from `add` to `remove`.
 */
import { lowWord } from '../abi/layout.ts';
import { RecordType } from '../abi/record-table.ts';
import { identifierLowAt, recordTypeAt } from '../abi/record-view.ts';
import type { SourceEvent } from '../source/source.ts';

export class EventIds {
  /** The events as rings and snapshots have them: with the ids that records are kept with. */
  readonly kept: readonly SourceEvent[];
  readonly #renames: boolean;
  readonly #indexOfLow = new Map<number, number>();

  /** `renames`: records are kept with the event's place, from 1, as their id; otherwise as they come. */
  constructor(events: readonly SourceEvent[], renames: boolean) {
    this.#renames = renames;
    this.kept = renames ? events.map((event, index) => ({ ...event, ids: [BigInt(index + 1)] })) : events;
    this.add(events);
  }

  /** The id that all but samples are kept with, since it is the leader that they are of; 0: as they come. */
  get keptOfLeader(): number {
    return this.#renames ? 1 : 0;
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

  /** The id that the record at word `at` is kept with; 0: the one it has. */
  keptId(words: Int32Array, at: number): number {
    if (!this.#renames) return 0;
    return recordTypeAt(words, at) === RecordType.SAMPLE ? this.indexOfSample(words, at) + 1 : 1;
  }
}
