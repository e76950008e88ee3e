/** The events that have samples in what is exported: where there is one, exports leave out the event's name. */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { CaptureEvent } from '../perf-data/event-table.ts';
import type { SelectedPart } from '../perf-data/selection.ts';

/** In the order of `Capture.events`. */
export function sampledEvents(capture: Capture, part: SelectedPart): CaptureEvent[] {
  const isSampled = new Uint8Array(capture.events.length);
  for (let index = 0; index < capture.recordCount; index++)
    if (capture.typeAt(index) === RecordType.SAMPLE && part.hasRecord(index))
      isSampled[capture.eventIndexAt(index)] = 1;
  return capture.events.filter(({ index }) => isSampled[index] === 1);
}
