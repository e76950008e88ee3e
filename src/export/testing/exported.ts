/** A capture that a builder holds, as the bytes of an export. */
import { type Capture, openCapture } from '../../perf-data/capture.ts';
import type { CaptureSelection } from '../../perf-data/selection.ts';
import type { CaptureBuilder } from '../../perf-data/testing/capture-builder.ts';
import type { FormatName } from '../formats.ts';
import { FORMATS } from '../formats.ts';
import { type FrameNames, PLACES_AS_NAMES } from '../frame-names.ts';

export function exported(
  source: CaptureBuilder | Capture,
  format: FormatName,
  names?: FrameNames,
  selection: CaptureSelection = {},
): Uint8Array {
  const capture = 'build' in source ? openCapture(source.build()) : source;
  const chunks = [...FORMATS[format].write(capture, { names: names ?? PLACES_AS_NAMES, selection })];
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

export function exportedText(...args: Parameters<typeof exported>): string {
  return new TextDecoder().decode(exported(...args));
}
