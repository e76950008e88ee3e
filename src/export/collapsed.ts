/**
 * Collapsed stacks, as flamegraph.pl and compatible tools read them: one line a stack, `comm;outer;inner COUNT`.
 * Counts are samples. A capture that sampled several events has the event's name, in brackets, as the frame behind
 * comm. Source: the header of stackcollapse-perf.pl. Invariant: the counts sum up to the samples that are exported.
 */
import type { Capture } from '../perf-data/capture.ts';
import { type ExportOptions, exportedPart, recordIndices, TextChunks } from './exporter.ts';
import { isSample, SampleReader } from './sample-reader.ts';
import { sampledEvents } from './sampled-events.ts';
import { threadName } from './thread-labels.ts';

export function* exportCollapsed(capture: Capture, options: ExportOptions): Generator<Uint8Array> {
  const reader = new SampleReader(capture, options.names);
  const part = exportedPart(capture, options);
  const isPlain = sampledEvents(capture, part).length <= 1;
  /** Counts by the first frames of a line, by stack. */
  const counts = new Map<string, Map<number, number>>();
  for (const index of recordIndices(capture, options)) {
    const sample = isSample(capture, part, index) ? reader.read(index) : undefined;
    if (sample === undefined) continue;
    const comm = word(threadName(sample.thread, sample.timeNs));
    const root = isPlain ? comm : `${comm};[${word(sample.event.name)}]`;
    let byStack = counts.get(root);
    if (byStack === undefined) {
      byStack = new Map();
      counts.set(root, byStack);
    }
    byStack.set(sample.stack, (byStack.get(sample.stack) ?? 0) + 1);
  }
  yield* lines(counts, reader);
}

function* lines(counts: ReadonlyMap<string, Map<number, number>>, { stacks }: SampleReader): Generator<Uint8Array> {
  const words = stacks.frames.map(({ name }) => word(name));
  const chunks = new TextChunks();
  for (const [root, byStack] of counts) {
    for (const [stack, count] of byStack) {
      const frames = stacks.framesOf(stack).map((frame) => `;${words[frame]}`);
      chunks.add(`${root}${frames.join('')} ${count}\n`);
      if (chunks.isFull) yield chunks.take();
    }
  }
  yield chunks.take();
}

/** A name without the characters that separate frames and lines. */
function word(name: string): string {
  return name.replaceAll(';', ':').replace(/\p{Cc}/gu, '?');
}
