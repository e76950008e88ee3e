/** Test builder: a second recorder that adopts the directory of a killed one. */
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

/** As SIGKILL leaves it: with its session file, and no living thread marked as exited. */
export function kill(scripted: ScriptedAttachments): void {
  writeSession(scripted.directory, scripted.attacher.attachments.values(), []);
  scripted.abandon();
}

export function orphanedIn(directory: string): OrphanedRings {
  const { kept } = new EventIds(new ScriptedAttachableSource().events);
  return findOrphanedRings(directory, kept, new RecordView(recordGeometry(attr)));
}

export interface Adopting extends ScriptedAttachments {
  readonly orphaned: OrphanedRings;
  readonly adoption: Adoption | undefined;
  readonly log: readonly string[];
}

/** `before` is called when the directory has been read and nothing adopted yet. */
export function adoptIn(
  directory: string,
  options: Partial<EngineOptions> = {},
  before: (scripted: ScriptedAttachments) => void = () => {},
): Adopting {
  const orphaned = orphanedIn(directory);
  const scripted = scriptedAttachments({ ...options, directory, sessionId: orphaned.sessionId ?? newSessionId() });
  before(scripted);
  const log: string[] = [];
  const adoption = adoptOrphanedRings(
    readSession(directory).attachments,
    orphaned,
    scripted.recorder,
    scripted.attacher,
    (line) => log.push(line),
  );
  return { ...scripted, orphaned, adoption, log, [Symbol.dispose]: scripted[Symbol.dispose] };
}
