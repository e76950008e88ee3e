/**
 * What a detached recorder was told to record, and where the ring files of it stand: `<directory>/<name>/<pmu>/<tid>`.
 *
 * Invariant: a path belongs to one ring at a time; the ring of a thread that is gone makes way when its number comes back.
 */
import { join } from 'node:path';
import type { EventSet } from '../source/source.ts';
import type { OrphanedRing } from './orphaned-ring.ts';

/** What is to be recorded from now on, with all it starts. */
export type Target =
  /** A process: all its threads. */
  | { readonly kind: 'pid'; readonly pid: number }
  | { readonly kind: 'tid'; readonly tid: number }
  /** Every task of the machine. */
  | { readonly kind: 'all' }
  /** Every process whose name matches, those to come included: `*` and `?` as in a shell. */
  | { readonly kind: 'comm'; readonly glob: string }
  /** Every process of the cgroup or one below it, those to come included: a path under /sys/fs/cgroup. */
  | { readonly kind: 'cgroup'; readonly path: string };

const NAME = /^[\w@:+-][\w.@:+-]{0,63}$/;

/** Whether an attachment may be called so: its name is that of a directory. */
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
  /** What is open at the source on its account. */
  readonly eventSets = new Set<EventSet>();
  readonly degraded: string[] = [];
  /** Rings of an earlier recorder whose threads still live, by TID: to be continued. */
  readonly orphaned = new Map<number, OrphanedRing>();
  /** Processes that are there still and whose event somebody removed: pid and start time. They are not to be begun anew. */
  readonly removed = new Map<number, number>();
  /** Threads that the source refused: they are tried again, and count once. */
  readonly refused = new Set<number>();
  /** When something was last opened on its account, by the clock of `nowMs`. */
  openedMs = 0;
  /** Threads that could not be given a ring. */
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
