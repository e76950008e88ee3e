/** The section of symbols of a snapshot; undefined while it is empty. */
import { readFileSync } from 'node:fs';
import { openCapture } from '../../src/perf-data/capture.ts';
import { decodeSymbols, type SnapshotSymbols } from '../../src/symbols/symbols-section.ts';

export function readSymbols(path: string): SnapshotSymbols | undefined {
  const { symbols } = openCapture(new Uint8Array(readFileSync(path))).features;
  return symbols && decodeSymbols(symbols);
}
