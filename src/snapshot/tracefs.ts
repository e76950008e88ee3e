/** The TRACING_DATA section of a snapshot, from what tracefs shows of its tracepoints. */
import { readFileSync } from 'node:fs';
import { type Tracepoint, type TracingSection, tracingSection } from '../perf-data/tracing-section.ts';

const TRACEFS_FOLDERS = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];

/** The section for `tracepoints`, with stand-ins for the formats that tracefs does not show. */
export function readTracingData(
  tracepoints: readonly Tracepoint[],
  folders: readonly string[] = TRACEFS_FOLDERS,
): TracingSection {
  const folder = folders.find((candidate) => readBytes(`${candidate}/events/header_page`) !== undefined);
  return tracingSection(tracepoints, (path) => (folder === undefined ? undefined : readBytes(`${folder}/${path}`)));
}

function readBytes(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch {
    // Not mounted, or not for this user.
    return undefined;
  }
}
