/** Which of a capture's events have samples: those of a capture with one need not be told apart. */
import { RecordType } from '../abi/record.ts';
import type { Capture } from '../capture/capture.ts';
import type { CaptureEvent } from '../capture/event-table.ts';

/** In the order of `Capture.events`. */
export function sampledEvents(capture: Capture): CaptureEvent[] {
  const isSampled = new Uint8Array(capture.events.length);
  for (let index = 0; index < capture.recordCount; index++)
    if (capture.typeAt(index) === RecordType.SAMPLE) isSampled[capture.eventIndexAt(index)] = 1;
  return capture.events.filter(({ index }) => isSampled[index] === 1);
}
