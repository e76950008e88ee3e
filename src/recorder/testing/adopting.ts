/** Test builder: a second recorder goes on in the directory that a first one was killed in. */
import { recordGeometry } from '../../abi/record.ts';
import { adoptLeftRings } from '../adoption.ts';
import type { Adoption } from '../control.ts';
import { EventIds } from '../event-ids.ts';
import { findLeftRings, type LeftRings } from '../left-rings.ts';
import type { RecorderOptions } from '../recorder.ts';
import { newSessionId } from '../ring-store.ts';
import { RunMerge } from '../run-merge.ts';
import { readSession, writeSession } from '../session-file.ts';
import { ScriptedAttachableSource, type ScriptedAttachments, scriptedAttachments } from './scripted-attachments.ts';
import { attr } from './scripted-source.ts';

/** As SIGKILL leaves it: with its list of attachments, and no thread that lives marked as ended. */
export function kill(scripted: ScriptedAttachments): void {
  writeSession(scripted.directory, scripted.attacher.attachments.values(), []);
  scripted.abandon();
}

export function leftIn(directory: string): LeftRings {
  const merge = new RunMerge(recordGeometry(attr));
  const { kept } = new EventIds(new ScriptedAttachableSource().events, true);
  return findLeftRings(directory, kept, (words, at) => merge.timeOf(words, at));
}

export interface Adopting extends ScriptedAttachments {
  readonly left: LeftRings;
  readonly adoption: Adoption | undefined;
  readonly log: readonly string[];
}

/** `before` is called when everything has been looked at and nothing adopted yet. */
export function adoptIn(
  directory: string,
  options: Partial<RecorderOptions> = {},
  before: (scripted: ScriptedAttachments) => void = () => {},
): Adopting {
  const left = leftIn(directory);
  const scripted = scriptedAttachments({ ...options, directory, sessionId: left.sessionId ?? newSessionId() });
  before(scripted);
  const log: string[] = [];
  const adoption = adoptLeftRings(
    readSession(directory).attachments,
    left,
    scripted.recorder,
    scripted.attacher,
    (line) => log.push(line),
  );
  return { ...scripted, left, adoption, log, [Symbol.dispose]: scripted[Symbol.dispose] };
}
