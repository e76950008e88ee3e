/**
 * What a detached recorder was told to record, kept beside its rings: the next one goes on with it.
 * Invariant: the file is replaced as a whole; one that cannot be read is as good as none, and so is an entry of another form.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Attachment, isAttachmentName } from './attachment.ts';
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
    const { version, attachments } = JSON.parse(readFileSync(join(directory, NAME), 'utf8')) as Partial<SessionFile>;
    return version === 1 && Array.isArray(attachments) ? attachments.filter(isKeptAttachment) : [];
  } catch {
    return []; // Absent, or cut while it was first written: the directories of the rings still tell most of it.
  }
}

/** What stands in a file may be anything; a name becomes a directory. */
function isKeptAttachment(value: unknown): value is KeptAttachment {
  const { name, target, attachedWallMs } = (value ?? {}) as Partial<KeptAttachment>;
  return typeof name === 'string' && isAttachmentName(name) && isTarget(target) && Number.isFinite(attachedWallMs);
}

function isTarget(value: unknown): value is Target {
  const { kind, pid, tid, glob, path } = (value ?? {}) as Record<string, unknown>;
  switch (kind) {
    case 'pid':
      return Number.isSafeInteger(pid);
    case 'tid':
      return Number.isSafeInteger(tid);
    case 'comm':
      return typeof glob === 'string';
    case 'cgroup':
      return typeof path === 'string';
    default:
      return kind === 'all';
  }
}

export function removeSession(directory: string): void {
  for (const name of [NAME, `${NAME}.new`]) rmSync(join(directory, name), { force: true });
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
