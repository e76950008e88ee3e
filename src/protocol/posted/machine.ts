import type { Machine } from '../machine.ts';

/**
 * What the patch as posted asks of the world beyond that: pages one by one and by frame, since its counts do not say
 * what is held; works that are detached as a list and cancelled; mappings as any program's. Only a machine with a
 * kernel in it has this. A frame is a positive number within its event's ring; 0: none.
 */
export interface PostedMachine extends Machine {
  /** perf_rb_size in pages: the user page, data pages, AUX pages. */
  pagesOf(event: number): number;
  dataPagesOf(event: number): number;
  /** Whether the event's PMU is one with AUX hardware: its start needs an SG table. */
  hasAuxPmu(event: number): boolean;

  /** shmem_getpage: takes a reference on the page at that index of the file; its frame, or a negative errno. */
  getPage(event: number, page: number): number;
  /** put_page: drops a reference. */
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
  /**
   * vm_mmap(MAP_SHARED | MAP_POPULATE, PROT_READ) of the ring into the task's own mm: its address, or a negative
   * errno.
   */
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
  /** rcu_read_lock and _unlock of a user of the event, and whether a grace period would have to wait. */
  enterRead(event: number): void;
  leaveRead(event: number): void;
  isRead(event: number): boolean;
  /** WARN_ON_ONCE. */
  warn(event: number, text: string): void;
}
