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
   * Takes one reference on each of the pages from `from` up to at most `to` (exclusive). Returns how many pages of the ring are
   * referenced now, more than `from` and at most `to`: a machine may take one page a call, or all of them (one
   * mlock). Or a negative errno, and then it took none.
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
   * Maps the ring into `mm` (shared, read-only for good, not copied by fork) and takes a reference on `mm`. 0 or a negative
   * errno, and then neither was done.
   */
  mapRing(event: number, mm: number): number;
  /** Unmaps the ring from `mm`, but only what is still this event's own mapping. */
  unmapRing(event: number, mm: number): void;
  /** Drops the reference on `mm` that `mapRing` took. */
  dropMm(event: number, mm: number): void;
}

/**
 * What the patch as posted asks of the world beyond that: pages one by one and by frame, since its counts do not say what is held;
 * works that are detached as a list and cancelled; mappings as any program's. Only a machine with a kernel in it has this.
 * A frame is a positive number within its event's ring; 0: none.
 */
export interface PostedMachine extends Machine {
  /** perf_rb_size in pages: the user page, data pages, AUX pages. */
  pagesOf(event: number): number;
  dataPagesOf(event: number): number;
  /** Whether the event's PMU is one with AUX hardware: its start needs an SG table. */
  hasAuxPmu(event: number): boolean;

  /** shmem_getpage: takes a reference on the page at that index of the file; its frame, or a negative errno. */
  getPage(event: number, page: number): number;
  /** put_page: drops a reference, whoever took it. */
  putFrame(event: number, frame: number): void;
  /** perf_mmap_to_page: the frame that user_page, data_pages[] or aux_pages[] name for the page; 0 before the first. */
  pageAt(event: number, page: number): number;
  /** Stores a frame there. */
  setPage(event: number, page: number, frame: number): void;
  /** set_page_dirty: reclaim writes it to swap before it takes the frame. */
  dirtyFrame(event: number, frame: number): void;
  /** shmem_truncate_range of the whole file. */
  truncate(event: number): void;

  /** rb->free_aux: the SG table's memory is gone, while aux_priv still points to it. */
  freeSg(event: number): void;
  /** pmu->setup_aux from aux_pages[]: 0 or a negative errno (no table). Throws a `Violation` where the PMU has none. */
  setupSg(event: number): number;
  hasSg(event: number): boolean;
  isPmuOn(event: number): boolean;

  /** task_work_run's detached list, the newest work first. From here on nothing finds them to cancel. */
  detachWorks(task: number): readonly number[];
  /** That list, as it was detached last. */
  detachedWorks(task: number): readonly number[];
  /** task_work_cancel by function: the event of the newest such work on the list, taken off; -1: none. */
  cancelWork(task: number): number;
  /** The works of an exiting task have run: none is taken any more. */
  closeWorks(task: number): void;

  /** get_task_mm: the address space of the task; 0: none any more. */
  taskMm(task: number): number;
  /** vm_mmap(MAP_SHARED | MAP_POPULATE, PROT_READ) of the ring into the task's own mm: its address, or a negative errno. */
  mapShared(event: number, mm: number): number;
  /** do_munmap of whatever lies there now. Throws a `Violation` when the mm is gone. */
  unmapAt(event: number, mm: number, address: number): void;

  /** A store into the next data page, through data_pages[]. */
  storeData(event: number): void;
  /** perf_log_itrace_start while the ring takes no records. */
  missLogStart(event: number): void;
  /** An IPI or a context-locked call reached nothing, because the event's task is gone. */
  missCall(event: number): void;
  /** Charges pages to the locked memory of an mm, or gives them back (negative). */
  chargeMm(mm: number, pages: number): void;
  /** rcu_read_lock and _unlock of somebody who uses the event, and whether a grace period would have to wait. */
  enterRead(event: number): void;
  leaveRead(event: number): void;
  isRead(event: number): boolean;
  /** WARN_ON_ONCE. */
  warn(event: number, text: string): void;
}
