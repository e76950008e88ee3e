/**
 * The events of a capture, and which of them a record belongs to. Source: evlist__event2evsel,
 * tools/perf/util/evlist.c, Linux 6.1: by id. Synthesized records have id 0 and belong to the first event, as do
 * records of a capture without ids.
 *
 * Invariant: there is always a first event to fall back on.
 */
import { type EventAttr, EventType, eventAttr, HARDWARE_EVENTS, SOFTWARE_EVENTS } from '../abi/event-attr.ts';
import { RecordType, USER_TYPE_START } from '../abi/record-table.ts';
import { type RecordGeometry, recordGeometry } from '../abi/record-view.ts';

/** One event that was recorded. */
export interface CaptureEvent {
  /** Its position in `Capture.events`. */
  readonly index: number;
  /** The name the recorder gave it, else one derived from the attr. */
  name: string;
  readonly attr: EventAttr;
  readonly ids: readonly bigint[];
  /** Where its records hold the sample id. */
  readonly geometry: RecordGeometry;
}

export class EventTable {
  readonly events: CaptureEvent[] = [];
  readonly #indexOfId = new Map<bigint, number>();
  /** The same for ids below 2^32, as practically all are: saves making a bigint. */
  readonly #indexOfSmallId = new Map<number, number>();
  readonly #sampleIdOffsets: number[] = [];
  readonly #trailerIdOffsets: number[] = [];

  add(attr: EventAttr, ids: readonly bigint[], name = nameOfAttr(attr)): CaptureEvent {
    const event = { index: this.events.length, name, attr, ids, geometry: recordGeometry(attr) };
    this.events.push(event);
    for (const id of ids) {
      if (id <= 0xffffffffn) this.#indexOfSmallId.set(Number(id), event.index);
      else this.#indexOfId.set(id, event.index);
    }
    addOnce(this.#sampleIdOffsets, event.geometry.sample.id);
    addOnce(this.#trailerIdOffsets, event.geometry.fromEnd.id);
    return event;
  }

  /** Adds an event to read records by when the capture names none. */
  addFallback(): void {
    this.add(eventAttr({}), [], 'unknown');
  }

  /** The index of the event that the record at `at` belongs to. */
  indexOf(view: DataView, at: number, type: number, size: number): number {
    if (this.events.length < 2 || type >= USER_TYPE_START) return 0;
    const isSample = type === RecordType.SAMPLE;
    for (const offset of isSample ? this.#sampleIdOffsets : this.#trailerIdOffsets) {
      const idAt = isSample ? at + offset : at + size - offset;
      if (idAt < at || idAt + 8 > at + size) continue;
      const index = this.#find(view.getUint32(idAt, true), view.getUint32(idAt + 4, true));
      if (index !== undefined) return index;
    }
    return 0;
  }

  /** The event with this id. */
  byId(id: bigint): CaptureEvent | undefined {
    const index = id <= 0xffffffffn ? this.#indexOfSmallId.get(Number(id)) : this.#indexOfId.get(id);
    return index === undefined ? undefined : this.events[index];
  }

  #find(low: number, high: number): number | undefined {
    if (high === 0) return this.#indexOfSmallId.get(low);
    return this.#indexOfId.size === 0 ? undefined : this.#indexOfId.get((BigInt(high) << 32n) | BigInt(low));
  }
}

function addOnce(offsets: number[], offset: number): void {
  if (offset >= 0 && !offsets.includes(offset)) offsets.push(offset);
}

/** The name of an event that the capture does not name. */
export function nameOfAttr(attr: EventAttr): string {
  const named = (table: Readonly<Record<string, number>>) =>
    Object.entries(table).find(([, config]) => BigInt(config) === attr.config)?.[0];
  if (attr.type === EventType.software) return named(SOFTWARE_EVENTS) ?? `software:${attr.config}`;
  if (attr.type === EventType.hardware) return named(HARDWARE_EVENTS) ?? `hardware:${attr.config}`;
  if (attr.type === EventType.tracepoint) return `tracepoint:${attr.config}`;
  return `type-${attr.type}:0x${attr.config.toString(16)}`;
}
