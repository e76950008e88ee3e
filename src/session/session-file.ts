/**
 * The attachments and triggers of a detached recorder, kept beside its rings: the next recorder restores them.
 * Invariant: the file is replaced as a whole; an unreadable file counts as absent, and so does an entry of another
 * form.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Attachment, isAttachmentName, type Target } from '../engine/attachment.ts';
import type { TriggerOptions } from '../triggers/trigger.ts';
import type { KeptTrigger } from '../triggers/trigger-status.ts';

export interface KeptAttachment {
  readonly name: string;
  readonly target: Target;
  readonly attachedWallMs: number;
}

export interface Session {
  readonly attachments: readonly KeptAttachment[];
  readonly triggers: readonly KeptTrigger[];
}

interface SessionFile extends Session {
  readonly version: 1;
}

const NAME = 'session.json';

export function readSession(directory: string): Session {
  try {
    const session = JSON.parse(readFileSync(join(directory, NAME), 'utf8')) as Partial<SessionFile>;
    const { version, attachments, triggers } = session;
    return {
      attachments: version === 1 && Array.isArray(attachments) ? attachments.filter(isKeptAttachment) : [],
      triggers: version === 1 && Array.isArray(triggers) ? triggers.filter(isKeptTrigger) : [],
    };
  } catch {
    // Absent, or truncated while it was first written: attachments can still be derived from the directories of the
    // rings.
    return { attachments: [], triggers: [] };
  }
}

/** The form only: the values are checked when the trigger is set again. */
const OPTION_TYPES: Readonly<Record<keyof TriggerOptions, string>> = {
  comm: 'string',
  pid: 'number',
  tid: 'number',
  atMost: 'object',
  preMs: 'number',
  postMs: 'number',
  directory: 'string',
  keep: 'number',
  keepBytes: 'number',
};

function isKeptTrigger(value: unknown): value is KeptTrigger {
  const { on, options } = (value ?? {}) as Partial<KeptTrigger>;
  if (typeof on !== 'string' || typeof options !== 'object' || options === null) return false;
  const isOfForm = ([key, option]: [string, unknown]) => typeof option === OPTION_TYPES[key as keyof TriggerOptions];
  const { count, perMs } = { count: 1, perMs: 1, ...options.atMost };
  return Object.entries(options).every(isOfForm) && Number.isFinite(count) && Number.isFinite(perMs);
}

/** The file may contain anything, and a name becomes a directory. */
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

/** False: it could not be written. */
export function writeSession(
  directory: string,
  attachments: Iterable<Attachment>,
  triggers: Iterable<KeptTrigger>,
): boolean {
  const session: SessionFile = {
    version: 1,
    attachments: [...attachments].map(({ name, target, attachedWallMs }) => ({ name, target, attachedWallMs })),
    triggers: [...triggers].map(({ on, options }) => ({ on, options })),
  };
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
