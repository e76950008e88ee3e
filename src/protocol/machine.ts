/**
 * What the protocol asks of the world it runs in: the live recorder (a page is referenced by mlock), a simulated kernel
 * machine, the in-memory machine of the tests. The protocol itself knows no Linux and no clock.
 *
 * Invariant: each method is called from exactly one kind of step, so a call is atomic to the other actors. No method
 * throws for an operating failure: it returns a negative errno, which the protocol undoes and counts.
 *
 * Events are indices into the event table, tasks and address spaces (`mm`) positive int32 identifiers of the
 * machine's own choice, CPUs indices from 0, pages indices from 0 within an event's ring (page 0 is the user page).
 */
export interface Machine {
  /** The CPU on which the task runs now. It may differ at the next call: the task migrated. */
  currentCpu(task: number): number;
  /** Whether the task is past the point of no return of its exit (`PF_EXITING`): it never pins again. */
  isExiting(task: number): boolean;
  /** The address space into which the ring of this task's events is to be injected; 0: no injection is wanted. */
  currentMm(task: number): number;

  /** Queues the event's work on its task, to run when the task returns to user mode. 0 or a negative errno. */
  queueWork(task: number, event: number): number;
  /** Takes one queued work off the task's list: its event, or -1. Nothing is ever cancelled. */
  takeWork(task: number): number;

  /**
   * Takes one reference on each of the pages from `from` up to at most `to` (exclusive). Returns how many pages of
   * the ring are referenced now, more than `from` and at most `to`: a machine may take one page a call, or all of
   * them (one mlock). Or a negative errno, and then it took none.
   */
  getPages(event: number, from: number, to: number): number;
  /** Remembers where the pages [from, to) are. True when one is elsewhere than remembered: the SG table is stale. */
  storePages(event: number, from: number, to: number): boolean;
  /** Drops the references on the pages [from, to). They may be swapped out from here on. */
  putPages(event: number, from: number, to: number): void;

  /** Whether the event has an AUX area, hence a scatter-gather table. Constant for an event. */
  hasAux(event: number): boolean;
  /** Rebuilds the SG table from the remembered pages. 0 or a negative errno (the old table may be gone then). */
  rebuildSg(event: number): number;

  /** `pmu::add` without START on `cpu`. 0 or a negative errno (no counter free). */
  addPmu(event: number, cpu: number): number;
  /** `pmu::del` on `cpu`: stops it if it runs. */
  delPmu(event: number, cpu: number): void;
  /** Stops the event's PMU on `cpu` if it runs, then starts it. */
  startPmu(event: number, cpu: number): void;
  /** Stops the event's PMU on `cpu` if it runs, and brings `aux_head` up to date. */
  stopPmu(event: number, cpu: number): void;

  /** Writes the user page (times, heads). The pages are referenced while it runs. */
  updateUserPage(event: number): void;
  /** Writes the ITRACE_START record into the ring. The pages are referenced while it runs. */
  logStart(event: number): void;

  /**
   * Maps the ring into `mm` (shared, read-only for good, not copied by fork) and takes a reference on `mm`. 0 or a
   * negative errno, and then neither was done.
   */
  mapRing(event: number, mm: number): number;
  /** Unmaps the ring from `mm`, but only what is still this event's own mapping. */
  unmapRing(event: number, mm: number): void;
  /** Drops the reference on `mm` that `mapRing` took. */
  dropMm(event: number, mm: number): void;
}
