/** An exporter: a pure function from a capture to the bytes of a file, in chunks, reading the records once. */
import type { Capture } from '../perf-data/capture.ts';
import { type CaptureSelection, SelectedPart } from '../perf-data/selection.ts';
import type { FrameNames } from './frame-names.ts';

export interface ExportOptions {
  readonly names: FrameNames;
  /** The part of the capture to export; absent: all of it. */
  readonly selection?: CaptureSelection;
  /** Called every PROGRESS_RECORDS with the number of records done. */
  readonly progress?: (records: number) => void;
}

/** The file, chunk by chunk. Damage and losses in the capture never throw: they are in the file or left out of it. */
export type Exporter = (capture: Capture, options: ExportOptions) => Iterable<Uint8Array>;

/** The part of the capture that is exported. */
export function exportedPart(capture: Capture, { selection = {} }: ExportOptions): SelectedPart {
  return new SelectedPart(capture, selection);
}

const PROGRESS_RECORDS = 1 << 14;

/** The numbers of all records in time order, reporting progress. */
export function* recordIndices(capture: Capture, { progress }: ExportOptions): Generator<number> {
  for (let index = 0; index < capture.recordCount; index++) {
    if (index % PROGRESS_RECORDS === 0) progress?.(index);
    yield index;
  }
  progress?.(capture.recordCount);
}

/** Text gathered into chunks of bytes. */
export class TextChunks {
  #text = '';

  /** Whether a chunk is full. */
  get isFull(): boolean {
    return this.#text.length >= CHUNK_CHARACTERS;
  }

  add(text: string): void {
    this.#text += text;
  }

  take(): Uint8Array {
    const bytes = ENCODER.encode(this.#text);
    this.#text = '';
    return bytes;
  }
}

const CHUNK_CHARACTERS = 1 << 18;
const ENCODER = new TextEncoder();
