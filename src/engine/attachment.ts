/**
 * An attachment: a target of a detached recorder, with its ring files at `<directory>/<name>/<pmu>/<tid>`.
 *
 * Invariant: a path belongs to one ring at a time; the file of an exited thread is renamed when its TID is reused.
 */
import { join } from 'node:path';
import type { EventSet } from '../source/source.ts';
import type { OrphanedRing } from './orphaned-ring.ts';

/** What is recorded, with all tasks that it starts. */
export type Target =
  /** A process: all its threads. */
  | { readonly kind: 'pid'; readonly pid: number }
  | { readonly kind: 'tid'; readonly tid: number }
  /** Every task of the machine. */
  | { readonly kind: 'all' }
  /** Every present and future process whose name matches: `*` and `?` as in a shell. */
  | { readonly kind: 'comm'; readonly glob: string }
  /** Every present and future process of the cgroup or one below it: a path under /sys/fs/cgroup. */
  | { readonly kind: 'cgroup'; readonly path: string };

const NAME = /^[\w@:+-][\w.@:+-]{0,63}$/;

/** Whether an attachment may have this name, which is also that of its directory. */
export function isAttachmentName(name: string): boolean {
  return NAME.test(name);
}

export class Attachment {
  readonly name: string;
  readonly target: Target;
  readonly pmu: string;
  /** Of its ring files. */
  readonly directory: string;
  readonly attachedWallMs: number;
  /** Event sets that are open at the source for it. */
  readonly eventSets = new Set<EventSet>();
  readonly degraded: string[] = [];
  /** Rings of living threads that an earlier recorder left, by tid: they are adopted when the thread is attached to. */
  readonly orphaned = new Map<number, OrphanedRing>();
  /** Living processes whose event was removed: pid and start time. They are not attached to again. */
  readonly removed = new Map<number, number>();
  /** Threads that the source refused: they are tried again, and counted once. */
  readonly refused = new Set<number>();
  /** When an event set was last opened for it, by the clock of `nowMs`. */
  openedMs = 0;
  /** Threads without memory for a ring. */
  unrecorded = 0;

  constructor(root: string, name: string, target: Target, pmu: string, attachedWallMs: number) {
    this.name = name;
    this.target = target;
    this.pmu = pmu;
    this.directory = join(root, name, pmu);
    this.attachedWallMs = attachedWallMs;
  }

  pathOf(tid: number): string {
    return join(this.directory, String(tid));
  }
}
