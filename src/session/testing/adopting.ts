/** Test builder: a second recorder goes on in the directory that a first one was killed in. */
import { RecordView, recordGeometry } from '../../abi/record-view.ts';
import { EventIds } from '../../engine/event-ids.ts';
import type { EngineOptions } from '../../engine/recorder.ts';
import { newSessionId } from '../../engine/ring-store.ts';
import { attr } from '../../engine/testing/scripted-source.ts';
import { adoptOrphanedRings } from '../adoption.ts';
import type { Adoption } from '../control.ts';
import { findOrphanedRings, type OrphanedRings } from '../orphaned-rings.ts';
import { readSession, writeSession } from '../session-file.ts';
import { ScriptedAttachableSource, type ScriptedAttachments, scriptedAttachments } from './scripted-attachments.ts';

/** As SIGKILL leaves it: with its list of attachments, and no thread that lives marked as ended. */
export function kill(scripted: ScriptedAttachments): void {
  writeSession(scripted.directory, scripted.attacher.attachments.values(), []);
  scripted.abandon();
}

export function leftIn(directory: string): OrphanedRings {
  const { kept } = new EventIds(new ScriptedAttachableSource().events);
  return findOrphanedRings(directory, kept, new RecordView(recordGeometry(attr)));
}

export interface Adopting extends ScriptedAttachments {
  readonly left: OrphanedRings;
  readonly adoption: Adoption | undefined;
  readonly log: readonly string[];
}

/** `before` is called when everything has been looked at and nothing adopted yet. */
export function adoptIn(
  directory: string,
  options: Partial<EngineOptions> = {},
  before: (scripted: ScriptedAttachments) => void = () => {},
): Adopting {
  const left = leftIn(directory);
  const scripted = scriptedAttachments({ ...options, directory, sessionId: left.sessionId ?? newSessionId() });
  before(scripted);
  const log: string[] = [];
  const adoption = adoptOrphanedRings(
    readSession(directory).attachments,
    left,
    scripted.recorder,
    scripted.attacher,
    (line) => log.push(line),
  );
  return { ...scripted, left, adoption, log, [Symbol.dispose]: scripted[Symbol.dispose] };
}
