/**
 * What decides which rings are pinned when. A policy is called at every birth, switch and exit of a schedule, pins and
 * unpins pages of a `RingPages`, and says which records found their ring pinned.
 *
 * Invariant: a record is written only into a ring that is pinned at that moment; whatever a policy does not write is
 * lost, and the simulation counts it.
 */
import type { RingPages } from './memory.ts';

export interface Policy {
  /** As in tables and charts: `corrected W=2`. */
  readonly name: string;
  /** One of POLICY_KINDS. */
  readonly kind: PolicyKind;
  /** Slots of each CPU; null where there are none. */
  readonly slotsPerCpu: number | null;
  /** The most pages it promises to have pinned at any moment; null: it promises nothing. */
  readonly boundPages: number | null;
  /** Rings pinned and unpinned so far. */
  readonly pins: number;
  readonly unpins: number;
  /** Tasks that got no ring. */
  readonly refusedTasks: number;

  /** The task was made, or was there from the beginning. */
  born(task: number): void;
  /** The task was switched in on `cpu` and returns to user mode. It is on no other CPU. */
  switchIn(task: number, cpu: number): void;
  /** Each of the task's events writes so many records: those of all events that got into their ring. */
  write(task: number, records: number, bytes: number): number;
  /** It is switched out of `cpu`. */
  switchOut(task: number, cpu: number): void;
  /** It has exited, behind its last switch-out. Its rings stay, to be read. */
  exit(task: number): void;
}

export const POLICY_KINDS = ['pin-all', 'posted', 'corrected', 'write-window'] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** What policies are made for. */
export interface PolicySetting {
  readonly cpus: number;
  /** The highest task number. */
  readonly tasks: number;
  /** Events, hence rings, of each task. */
  readonly eventsPerTask: number;
  /** Pages of a ring: header pages, then data pages. */
  readonly pagesPerRing: number;
  readonly headerPages: number;
  /** Pages that may be locked in all; Infinity without a limit. */
  readonly lockLimitPages: number;
}

/** Makes a policy on the memory of one run. */
export type PolicyFactory = (setting: PolicySetting, memory: RingPages) => Policy;

/** The index of a task's n-th event, which is also its ring's. */
export function eventOf(setting: PolicySetting, task: number, nth: number): number {
  return (task - 1) * setting.eventsPerTask + nth;
}

/** Events, hence rings, in all. */
export function eventCount(setting: PolicySetting): number {
  return setting.tasks * setting.eventsPerTask;
}
