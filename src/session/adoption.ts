/**
 * Goes on where an earlier recorder was killed.
 *
 *  1. Its side-band log is taken over.
 *  2. Rings of threads that are gone are kept among the dead, the longest dead first out.
 *  3. Every attachment there was is made again. Threads that still live go on in the rings they had; threads that have begun
 *     since are attached to as any others.
 *
 * Invariant: no ring is lost by it. What cannot be gone on with stays where it is.
 */
import { rmSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import type { Attachment, Target } from '../engine/attachment.ts';
import type { OrphanedRing } from '../engine/orphaned-ring.ts';
import type { Recorder } from '../engine/recorder.ts';
import { RingFile } from '../engine/ring-file.ts';
import { sideBandRecords } from '../engine/side-band-store.ts';
import { readProcStat } from '../linux/proc.ts';
import type { Attacher } from './attacher.ts';
import type { Adoption } from './control.ts';
import { startOf } from './live-task.ts';
import { byDeath, type OrphanedRings } from './orphaned-rings.ts';
import type { KeptAttachment } from './session-file.ts';

/** Undefined: there was nothing. `log` takes a sentence of what could not be gone on with. */
export function adoptOrphanedRings(
  session: readonly KeptAttachment[],
  left: OrphanedRings,
  recorder: Recorder,
  attacher: Attacher,
  log: (sentence: string) => void,
): Adoption | undefined {
  for (const path of left.useless) rmSync(path, { force: true });
  if (left.rings.length === 0 && session.length === 0) return undefined;
  if (left.sideBandLog)
    for (const { pid, record } of sideBandRecords(left.sideBandLog)) recorder.loadSideBandLog(pid, record);
  /** Undefined: one that cannot be made again. */
  const attachments = new Map<string, Attachment | undefined>();
  const enter = (name: string, target: Target, attachedWallMs: number) => {
    try {
      attachments.set(name, attacher.enter(target, name, attachedWallMs));
    } catch (error) {
      if (!(error instanceof RingkeepError)) throw error;
      attachments.set(name, undefined);
      log(`"${name}" is not recorded any more: ${error.message}`);
    }
  };
  for (const { name, target, attachedWallMs } of session) enter(name, target, attachedWallMs);
  for (const { attachment: name, header } of left.rings) {
    // Its session file was lost: what is known is whose rings there are.
    if (!attachments.has(name)) enter(name, { kind: 'pid', pid: header.pid }, Date.now());
  }
  const livingPids = new Map<Attachment, Set<number>>();
  let alive = 0;
  let unreadable = left.unreadable;
  for (const ring of left.rings.toSorted(byDeath)) {
    const attachment = attachments.get(ring.attachment);
    const { tid } = ring.header;
    if (!attachment) {
      unreadable++;
      continue;
    }
    // Of two that say so of one thread, as a recorder leaves them that is killed as it adopts, the later one is written on.
    if (ring.isAlive && ring.pmu === attachment.pmu && !attachment.orphaned.has(tid)) {
      attachment.orphaned.set(tid, ring);
      alive++;
      livingPids.set(attachment, (livingPids.get(attachment) ?? new Set()).add(ring.header.pid));
    } else if (!keepDead(ring, attachment, recorder)) unreadable++;
  }
  for (const attachment of attachments.values())
    if (attachment) goOn(attachment, livingPids.get(attachment) ?? new Set(), attacher, log);
  for (const ring of left.rings) {
    const attachment = attachments.get(ring.attachment);
    if (attachment?.orphaned.get(ring.header.tid) !== ring) continue;
    // It ended meanwhile, or may not be attached to any more.
    attachment.orphaned.delete(ring.header.tid);
    alive--;
    if (!keepDead(ring, attachment, recorder)) unreadable++;
  }
  const blindMs = left.newestNs === 0 ? null : (Number(process.hrtime.bigint()) - left.newestNs) / 1e6;
  return { rings: left.rings.length, alive, unreadable, blindMs };
}

function keepDead(orphan: OrphanedRing, attachment: Attachment, recorder: Recorder): boolean {
  let ring: RingFile | undefined;
  try {
    ring = RingFile.adopt(orphan.path, orphan.header.geometry);
  } catch (error) {
    if (!(error instanceof RingkeepError)) throw error;
  }
  if (!ring) return false;
  recorder.threads.keepOrphan(orphan, ring, attachment);
  return true;
}

/** What the attachment says of itself, and the processes that had rings on its account. */
function goOn(
  attachment: Attachment,
  pids: ReadonlySet<number>,
  attacher: Attacher,
  log: (sentence: string) => void,
): void {
  const { target } = attachment;
  const tell = (act: () => void) => {
    try {
      act();
    } catch (error) {
      if (!(error instanceof RingkeepError)) throw error;
      if (error.code !== 'no-such-thread')
        log(`"${attachment.name}" is not recorded in full any more: ${error.message}`);
    }
  };
  if (target.kind === 'tid') {
    tell(() => attacher.attachOrphaned(attachment));
    return;
  }
  if (target.kind !== 'pid') tell(() => attacher.begin(attachment));
  else if (isSameProcess(target.pid, attachment)) tell(() => attacher.attachProcess(attachment, target.pid));
  for (const pid of pids) tell(() => attacher.attachProcess(attachment, pid));
}

/** Whether the process of that number is the one that was attached to: it had begun by then. */
function isSameProcess(pid: number, { attachedWallMs }: Attachment): boolean {
  const stat = readProcStat(`/proc/${pid}/stat`);
  if (!stat) return false;
  const nowNs = process.hrtime.bigint();
  const startedWallMs = Date.now() - Number(nowNs - startOf(stat, nowNs)) / 1e6;
  return startedWallMs <= attachedWallMs + 1000;
}
