/**
 * The post-mortem as data: what `postMortem` answers, `ringkeep show` prints and `--json` writes. Invariant: it is
 * plain JSON — no bigint, no undefined — and null means that it is not known from the capture.
 */
import type { Death, RingkeepSection } from '../abi/ringkeep-section.ts';
import type { Damage } from '../perf-data/damage.ts';
import type { StackFrame } from '../perf-data/stack.ts';

/** What a thread was doing. `running-or-runnable`: /proc has one state for both. */
export type Activity =
  | 'running'
  | 'runnable'
  | 'running-or-runnable'
  | 'sleeping'
  | 'uninterruptible'
  | 'stopped'
  | 'zombie'
  | 'unknown';

/** How a thread ended, or what it is doing at the end. */
export type ReportedState = 'killed' | 'exited' | Activity;

/** A stack that was sampled in a thread. */
export interface SampledStack {
  /** Time of its newest sample, nanoseconds as decimal text. */
  timeNs: string;
  /** How long before the moment that was; null in a capture without times. */
  beforeNs: number | null;
  /** The event that sampled it. */
  event: string;
  /** Samples with this stack among the newest ones looked at. */
  samples: number;
  /** Innermost first. */
  frames: StackFrame[];
}

/** A time that a thread spent off the CPUs. */
export interface WaitReport {
  /** `slept`; `waited`: runnable, without a CPU. */
  kind: 'slept' | 'waited';
  durationNs: number;
  /** How long before the moment it ended; 0 for one that lasted. Null in a capture without a moment. */
  endedBeforeNs: number | null;
  /** Where the thread waits, innermost first; null when no stack was sampled as it went off. */
  frames: StackFrame[] | null;
  /**
   * Where it was sampled last, so long before it went off and without having been off in between: somewhere behind
   * that place it went off. Null when it was not, and where `frames` says more.
   */
  lastSeen: { earlierNs: number; frames: StackFrame[] } | null;
}

/** What /proc said of a thread, where the capture holds that. Times are differences over the window. */
export interface ProcfsReport {
  /** State letter of /proc/PID/stat. */
  state: string;
  /** Kernel function it sleeps in; null when it does not sleep or may not be read. */
  wchan: string | null;
  /** System call number; null in user space or unknown. */
  syscall: number | null;
  runDelayNs: number | null;
  timeslices: number | null;
}

/** One thread (one incarnation of a tid). Counts and times are those of the window. */
export interface ThreadReport {
  pid: number;
  tid: number;
  /** Null when the capture never names it. */
  comm: string | null;
  /** Whether it took the signal that killed its process. */
  tookSignal: boolean;
  state: ReportedState;
  /** The signal that ended it; null unless `state` is killed. */
  signal: string | null;
  /** What it was doing at the moment; for a thread that had exited before, null. */
  activity: Activity | null;
  /** How long it had been doing that; null when unknown. */
  activityNs: number | null;
  /** The CPU it was last on, by the moment; null when unknown. */
  cpu: number | null;
  /** How long before the moment it was last known to be on a CPU; null when never. */
  lastActiveBeforeNs: number | null;
  /** Time of its first and last record that are kept, nanoseconds as decimal text, whatever the window. */
  firstNs: string | null;
  lastNs: string | null;
  /** From its first record (or its fork, or the window's begin) to its exit or the end. */
  spanNs: number | null;
  /** Where on- and off-CPU time come from; null: they are not known, and null. */
  timesFrom: 'switches' | 'procfs' | null;
  onCpuNs: number | null;
  /** preemptedNs + sleepingNs. */
  offCpuNs: number | null;
  /** Off-CPU though it could have run: preempted, woken, or forked and not yet run. */
  preemptedNs: number | null;
  /** Asleep; includes the wait for a CPU after it was woken, where wakeups are not recorded. */
  sleepingNs: number | null;
  /** Part of the span in which its state is not known: before its first switch, and where records were lost. */
  unknownNs: number | null;
  records: number;
  /** Null, as the switches: nothing of the thread was kept, what it did is unknown. */
  samples: number | null;
  switchesIn: number | null;
  switchesOut: number | null;
  /** Times it came back on a CPU after sleeping. */
  wakeups: number | null;
  /** Records that never reached its ring; null when the capture does not count losses by thread. */
  lost: number | null;
  /** Older records that newer ones overwrote in its ring; null when it has no ring of its own. */
  overwritten: number | null;
  procfs: ProcfsReport | null;
  /** The longest times off the CPUs that reach into the window, longest first; none where switches are not known. */
  waits: WaitReport[];
  /** Distinct stacks, newest first; none from after the death. */
  stacks: SampledStack[];
}

/**
 * The answer. It is its own JSON: keys are stable; absolute times are u64 nanoseconds on the capture's clock as decimal
 * text, durations are numbers of nanoseconds (exact up to 2^53), addresses are hexadecimal text; null means unknown.
 */
export interface PostMortem {
  /** The process that a signal killed; null when the capture has no sign of a death. */
  death: Death | null;
  /** The source of a ringkeep snapshot; null for another recorder's capture. */
  source: RingkeepSection['source'] | null;
  /** Why the snapshot was taken; null for another recorder's capture. */
  reason: RingkeepSection['reason'] | null;
  /** Why its trigger fired, in a sentence; null for a snapshot without a trigger. */
  why: string | null;
  host: {
    hostname: string | null;
    osrelease: string | null;
    arch: string | null;
    cpusOnline: number | null;
    /** The recorder's command line. */
    cmdline: string[] | null;
    recorderVersion: string | null;
  };
  /** First and last record that has a time. */
  firstNs: string | null;
  lastNs: string | null;
  /** The end of the capture: a snapshot's cut, else the last record. */
  endNs: string | null;
  /** The moment that `…BeforeNs` count back from: the death when its time is known, else the end. */
  momentNs: string | null;
  /** From the first record to the end. */
  spanNs: number | null;
  /** The window asked for, up to the moment and on to the end; null: everything. */
  windowNs: number | null;
  totals: {
    /** Those of which something is kept, asked for or not; the idle tasks are not among them. */
    processes: number;
    threads: number;
    /** Further threads that are named in the capture, and of which nothing is kept. */
    namedOnly: number;
    records: number;
    samples: number;
    switchesIn: number;
    switchesOut: number;
  };
  losses: {
    /** What LOST records in the capture count. */
    lostRecords: number;
    /** What LOST_SAMPLES records in the capture count. */
    lostSamples: number;
    /** Times that the kernel throttled an event (THROTTLE records): its samples up to UNTHROTTLE are missing. */
    throttles: number;
    /** Records that the kernel dropped, by the snapshot's account; null for another recorder's capture. */
    kernelLost: number | null;
    /** Records that did not reach a thread's ring, all threads together; null for another recorder's capture. */
    ringLost: number | null;
    /** Rings of exited threads that the recorder had evicted; null where the capture has no such count. */
    evictedRings: number | null;
    /** Tasks without a ring; null likewise. */
    unrecordedTasks: number | null;
    /** Tasks that may have started while the kernel lost records, and appear nowhere; null likewise. */
    unseenTasks: number | null;
    /** Rings that could not be read, or only in part; null for another recorder's capture. */
    unreadableRings: number | null;
  };
  /** What the source could not see, one sentence each. */
  degraded: string[];
  /** What is in the file and not used, one sentence each. */
  unused: string[];
  /** What could not be read of the file. */
  damage: Damage[];
  /** What frames have no names, and why, one sentence each; nothing where no names were looked for. */
  unnamed: string[];
  /** The thread that took the signal, the rest of its process, the others; in each, the most recently active first. */
  threads: ThreadReport[];
}

/** Decimal text of a u64 time. */
export function timeText(timeNs: bigint | null): string | null {
  return timeNs === null ? null : timeNs.toString();
}
