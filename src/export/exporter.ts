/** What every exporter is: a pure function from a capture to the bytes of a file, in chunks, in one pass over the records. */
import type { Capture } from '../perf-data/capture.ts';
import { type CaptureSelection, SelectedPart } from '../perf-data/selection.ts';
import type { FrameNames } from './frame-names.ts';

export interface ExportOptions {
  readonly names: FrameNames;
  /** What to export of the capture: all of it, unless told otherwise. */
  readonly selection?: CaptureSelection;
  /** Called now and then with the number of records done. */
  readonly progress?: (records: number) => void;
}

/** The file, chunk by chunk. Damage and losses in the capture never throw: they are in the file or left out of it. */
export type Exporter = (capture: Capture, options: ExportOptions) => Iterable<Uint8Array>;

/** The part of the capture that is exported. */
export function exportedPart(capture: Capture, { selection = {} }: ExportOptions): SelectedPart {
  return new SelectedPart(capture, selection);
}

const PROGRESS_RECORDS = 1 << 14;

/** The numbers of all records in time order, with progress told on the way. */
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

  /** Whether there is a chunk's worth. */
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
