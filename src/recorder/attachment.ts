/**
 * What a detached recorder was told to record, and where the ring files of it stand: `<directory>/<name>/<pmu>/<tid>`.
 *
 * Invariant: a path belongs to one ring at a time; the ring of a thread that is gone makes way when its number comes back.
 */
import { join } from 'node:path';
import type { Origin } from '../source/source.ts';
import type { Target } from './control.ts';
import type { LeftRing } from './left-rings.ts';

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
  readonly origins = new Set<Origin>();
  readonly degraded: string[] = [];
  /** Rings that an earlier recorder left of threads that still live, by thread: to be written on. */
  readonly left = new Map<number, LeftRing>();
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
