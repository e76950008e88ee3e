/**
 * What a detached recorder was told to record, kept beside its rings: the next one goes on with it.
 * Invariant: the file is replaced as a whole; one that cannot be read is as good as none.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Attachment } from './attachment.ts';
import type { Target } from './control.ts';

export interface KeptAttachment {
  readonly name: string;
  readonly target: Target;
  readonly attachedWallMs: number;
}

interface SessionFile {
  readonly version: 1;
  readonly attachments: readonly KeptAttachment[];
}

const NAME = 'session.json';

export function readSession(directory: string): readonly KeptAttachment[] {
  try {
    const { version, attachments } = JSON.parse(readFileSync(join(directory, NAME), 'utf8')) as SessionFile;
    return version === 1 ? attachments : [];
  } catch {
    return []; // Absent, or cut while it was first written: the directories of the rings still tell most of it.
  }
}

export function removeSession(directory: string): void {
  rmSync(join(directory, NAME), { force: true });
}

/** False: it could not be written, and the next recorder will know less. */
export function writeSession(directory: string, attachments: Iterable<Attachment>): boolean {
  const kept = [...attachments].map(({ name, target, attachedWallMs }) => ({ name, target, attachedWallMs }));
  const session: SessionFile = { version: 1, attachments: kept };
  const beside = join(directory, `${NAME}.new`);
  try {
    writeFileSync(beside, JSON.stringify(session), { mode: 0o600 });
    renameSync(beside, join(directory, NAME));
    return true;
  } catch {
    rmSync(beside, { force: true });
    return false;
  }
}
