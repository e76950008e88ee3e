/**
 * Continues the recording of a killed recorder.
 *
 *  1. Load its side-band log.
 *  2. Keep the rings of exited threads, those that exited first to be evicted first.
 *  3. Make every attachment again. Living threads continue in their old rings; threads started since are attached to as
 *     others are.
 *
 * Invariant: no ring is lost. A ring that cannot be continued stays where it is.
 */

import { rmSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import type { Attachment, Target } from '../engine/attachment.ts';
import type { OrphanedRing } from '../engine/orphaned-ring.ts';
import type { Recorder } from '../engine/recorder.ts';
import { RingFile } from '../engine/ring-file.ts';
import { sideBandRecords } from '../engine/side-band-store.ts';
import { recordClockNs } from '../linux/clock.ts';
import { readProcStat } from '../linux/proc.ts';
import type { Attacher } from './attacher.ts';
import type { Adoption } from './control.ts';
import { startOf } from './live-task.ts';
import { byDeath, type OrphanedRings } from './orphaned-rings.ts';
import type { KeptAttachment } from './session-file.ts';

/**
 * Undefined: there was nothing to adopt. `log` is called with a sentence for each attachment that could not be made
 * again.
 */
export function adoptOrphanedRings(
  session: readonly KeptAttachment[],
  orphaned: OrphanedRings,
  recorder: Recorder,
  attacher: Attacher,
  log: (sentence: string) => void,
): Adoption | undefined {
  for (const path of orphaned.useless) rmSync(path, { force: true });
  const { otherEvents } = orphaned;
  if (orphaned.rings.length + otherEvents === 0 && session.length === 0) return undefined;
  if (orphaned.sideBandLog)
    for (const { pid, record } of sideBandRecords(orphaned.sideBandLog)) recorder.loadSideBandLog(pid, record);
  /** Undefined: it could not be made again. */
  const attachments = new Map<string, Attachment | undefined>();
  const enter = (name: string, target: Target, attachedWallMs: number) => {
    try {
      attachments.set(name, attacher.enter(target, name, attachedWallMs));
    } catch (error) {
      if (!(error instanceof RingkeepError)) throw error;
      attachments.set(name, undefined);
      log(`"${name}" is no longer recorded: ${error.message}`);
    }
  };
  for (const { name, target, attachedWallMs } of session) enter(name, target, attachedWallMs);
  for (const { attachment: name, header } of orphaned.rings) {
    // The session file was lost: the rings give the processes.
    if (!attachments.has(name)) enter(name, { kind: 'pid', pid: header.pid }, Date.now());
  }
  const livingPids = new Map<Attachment, Set<number>>();
  let alive = 0;
  let unreadable = orphaned.unreadable;
  for (const ring of orphaned.rings.toSorted(byDeath)) {
    const attachment = attachments.get(ring.attachment);
    const { tid } = ring.header;
    if (!attachment) {
      unreadable++;
      continue;
    }
    // A recorder that is killed while it adopts may leave two rings of one thread: the later one is continued.
    if (ring.isAlive && ring.pmu === attachment.pmu && !attachment.orphaned.has(tid)) {
      attachment.orphaned.set(tid, ring);
      alive++;
      livingPids.set(attachment, (livingPids.get(attachment) ?? new Set()).add(ring.header.pid));
    } else if (!keepDead(ring, attachment, recorder)) unreadable++;
  }
  for (const attachment of attachments.values())
    if (attachment) resume(attachment, livingPids.get(attachment) ?? new Set(), attacher, log);
  for (const ring of orphaned.rings) {
    const attachment = attachments.get(ring.attachment);
    if (attachment?.orphaned.get(ring.header.tid) !== ring) continue;
    // It exited meanwhile, or attaching to it is refused now.
    attachment.orphaned.delete(ring.header.tid);
    alive--;
    if (!keepDead(ring, attachment, recorder)) unreadable++;
  }
  const blindMs = orphaned.newestNs === 0 ? null : (Number(recordClockNs()) - orphaned.newestNs) / 1e6;
  return { rings: orphaned.rings.length, alive, unreadable, otherEvents, blindMs };
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

/** Attaches to the attachment's target, and to the processes of its rings. */
function resume(
  attachment: Attachment,
  pids: ReadonlySet<number>,
  attacher: Attacher,
  log: (sentence: string) => void,
): void {
  const { target } = attachment;
  const attempt = (act: () => void) => {
    try {
      act();
    } catch (error) {
      if (!(error instanceof RingkeepError)) throw error;
      if (error.code !== 'no-such-thread') log(`"${attachment.name}" is recorded only in part: ${error.message}`);
    }
  };
  if (target.kind === 'tid') {
    attempt(() => attacher.attachOrphaned(attachment));
    return;
  }
  if (target.kind !== 'pid') attempt(() => attacher.begin(attachment));
  else if (isSameProcess(target.pid, attachment)) attempt(() => attacher.attachProcess(attachment, target.pid));
  for (const pid of pids) attempt(() => attacher.attachProcess(attachment, pid));
}

/** Whether the process with this pid is the one that was attached to: it had started by then. */
function isSameProcess(pid: number, { attachedWallMs }: Attachment): boolean {
  const stat = readProcStat(`/proc/${pid}/stat`);
  if (!stat) return false;
  const nowNs = recordClockNs();
  const startedWallMs = Date.now() - Number(nowNs - startOf(stat, nowNs)) / 1e6;
  return startedWallMs <= attachedWallMs + 1000;
}
