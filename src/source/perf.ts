/**
 * The kernel's own records of a command: one ring a CPU, filled by events on the command's first task that every task
 * it starts inherits. What an unprivileged user may have at perf_event_paranoid 2 is enough.
 *
 * 1. On each online CPU open the leader (clock samples and side-band) and map its ring; if the lock limits refuse one,
 *    begin again with rings half as large.
 * 2. Open the other events on the CPU and send their records into the same ring.
 * 3. The events start at the task's next exec.
 */
import { closeSync } from 'node:fs';
import { type EventAttr, EventType, hasFlag, SOFTWARE_EVENTS } from '../abi/event-attr.ts';
import { type RecordGeometry, recordGeometry } from '../abi/record.ts';
import { FATAL_DELIVERY_FILTER, SIGNAL_DELIVER } from '../abi/signal-deliver.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { formatSize } from '../base/units.ts';
import {
  KernelRing,
  openPerfEvent,
  perfEventId,
  perfEventLost,
  setPerfFilter,
  setPerfOutput,
} from '../linux/perf-event.ts';
import { readCpus, readProcText } from '../linux/proc.ts';
import { errnoName } from '../linux/syscall.ts';
import { commandEventAttr, type EventSpec, parseEventSpec } from './event-spec.ts';
import type { RecordRun, Source, SourceEvent } from './source.ts';

export interface PerfSourceOptions {
  /** The task to follow; its events start at its next exec. */
  readonly pid: number;
  readonly freq: number;
  readonly events: readonly EventSpec[];
}

/**
 * 1 MiB a CPU, where the lock limits grant it. 512 KiB and a page is what perf_event_mlock_kb (516) grants everybody; the
 * rest counts against RLIMIT_MEMLOCK (kernel/events/core.c, perf_mmap, Linux 6.1). The larger a batch, the fewer pins: a
 * thread is pinned once a batch, and with thousands of threads pinning is what a drain costs.
 */
const RING_PAGES = 256;
const LATENCY_MS = 100;
const ENODEV = 19;
/** What perf_event_mlock_kb grants by default: fewer are worth a word. */
const LEAST_GRANTED_PAGES = 128;
const KERNEL_EVENTS = new Set(['context-switches', 'cpu-migrations'].map((name) => BigInt(SOFTWARE_EVENTS[name]!)));

interface OpenEvent {
  readonly spec: EventSpec;
  readonly attr: EventAttr;
  readonly ids: bigint[];
  isRefused: boolean;
}

export class PerfSource implements Source {
  readonly kind = 'perf';
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly degraded: readonly string[];
  readonly latencyMs = LATENCY_MS;
  readonly #rings: readonly KernelRing[];
  readonly #otherFds: readonly number[];
  readonly #scratch: Int32Array[] = [];
  readonly #countsLost: boolean;
  #collected: number[] = [];

  private constructor(
    events: readonly SourceEvent[],
    degraded: readonly string[],
    rings: readonly KernelRing[],
    otherFds: readonly number[],
    countsLost: boolean,
  ) {
    this.events = events;
    this.geometry = recordGeometry(events[0]!.attr);
    this.degraded = degraded;
    this.#rings = rings;
    this.#otherFds = otherFds;
    this.#countsLost = countsLost;
  }

  /** Throws `perf-refused` (details.errno) where perf events may not be had, with nothing left open. */
  static open(options: PerfSourceOptions): PerfSource {
    const opening = new PerfOpening(options);
    try {
      opening.openAll();
    } catch (error) {
      opening.closeAll();
      throw error;
    }
    return new PerfSource(
      opening.sourceEvents(),
      opening.degraded,
      opening.rings,
      opening.otherFds,
      opening.countsLost,
    );
  }

  get wakeFds(): readonly number[] {
    return this.#rings.map((ring) => ring.fd);
  }

  collect(): readonly RecordRun[] {
    const runs: RecordRun[] = [];
    this.#collected = this.#rings.map((ring, index) => {
      const bytes = ring.unreadBytes();
      if (bytes > 0) runs.push(this.#runOf(ring, index, bytes));
      return bytes;
    });
    return runs;
  }

  #runOf(ring: KernelRing, index: number, bytes: number): RecordRun {
    const start = (ring.tail % ring.dataBytes) >> 2;
    const count = bytes >> 2;
    const size = ring.dataBytes >> 2;
    const from = ring.dataStart + start;
    if (start + count <= size) return { cpu: ring.cpu, words: ring.words, from, to: from + count };
    // The stretch goes round the end: laid out in one piece it needs no special record. Once a lap, so the copy is cheap.
    this.#scratch[index] ??= new Int32Array(size);
    const scratch = this.#scratch[index];
    const first = size - start;
    scratch.set(ring.words.subarray(from, from + first));
    scratch.set(ring.words.subarray(ring.dataStart, ring.dataStart + count - first), first);
    return { cpu: ring.cpu, words: scratch, from: 0, to: count };
  }

  lostRecords(): number | undefined {
    if (!this.#countsLost) return undefined;
    const fds = [...this.#rings.map(({ fd }) => fd), ...this.#otherFds];
    return fds.reduce((sum, fd) => sum + perfEventLost(fd), 0);
  }

  /** The kernel puts nothing off. */
  expedite(): void {}

  release(): void {
    for (const [index, bytes] of this.#collected.entries()) {
      if (bytes > 0) this.#rings[index]!.release(bytes);
    }
    this.#collected = [];
  }

  close(): void {
    for (const fd of this.#otherFds) closeSync(fd);
    for (const ring of this.#rings) ring.close();
  }
}

/** The opening of a PerfSource, step by step, so that whatever fails leaves a list of what to close. */
class PerfOpening {
  readonly degraded: string[] = [];
  readonly rings: KernelRing[] = [];
  readonly otherFds: number[] = [];
  readonly #options: PerfSourceOptions;
  readonly #leader = parseEventSpec('cpu-clock');
  readonly #death: EventSpec | undefined;
  #open: OpenEvent[] = [];

  constructor(options: PerfSourceOptions) {
    this.#options = options;
    this.#death = optionalTracepoint(SIGNAL_DELIVER, options.events);
  }

  /** Whether a lost record can be counted (PERF_FORMAT_LOST). */
  get countsLost(): boolean {
    return this.#open.every(({ attr }) => attr.readFormat !== 0n);
  }

  openAll(): void {
    const excludeKernel = this.#isRefused({ excludeKernel: false, countsLost: false });
    const countsLost = !this.#isRefused({ excludeKernel, countsLost: true });
    let ringPages = RING_PAGES;
    // The lock limits are one budget for the rings of all CPUs: what does not fit is made smaller on all of them.
    while (!this.#openWith(ringPages, { excludeKernel, countsLost })) ringPages /= 2;
    if (this.rings.length === 0)
      throw new RingkeepError('perf-refused', 'no CPU has a perf event', { errno: 'ENODEV' });
    if (excludeKernel) this.#tellOfKernel();
    if (ringPages < LEAST_GRANTED_PAGES) {
      const [size, wanted] = [ringPages, LEAST_GRANTED_PAGES].map((pages) => formatSize(pages * PAGE_BYTES));
      this.degraded.push(`the kernel's rings are ${size} a CPU instead of ${wanted} (lock limits)`);
    }
  }

  /** What is permitted is tried, not deduced: kernel samples need CAP_PERFMON or perf_event_paranoid ≤ 1. */
  #isRefused(wanted: { excludeKernel: boolean; countsLost: boolean }): boolean {
    const { freq, pid } = this.#options;
    const fd = openPerfEvent(
      commandEventAttr(this.#leader, { freq, ...wanted, watermarkBytes: 0, sideBand: false }),
      pid,
      -1,
    );
    if (fd >= 0) closeSync(fd);
    return fd < 0;
  }

  #tellOfKernel(): void {
    const paranoid = readProcText('/proc/sys/kernel/perf_event_paranoid')?.trim() ?? '?';
    this.degraded.push(`kernel frames and kernel time are not sampled (perf_event_paranoid is ${paranoid})`);
    for (const { name } of this.#options.events.filter((spec) => happensInKernel(spec))) {
      this.degraded.push(`the event ${name} happens in the kernel, which is not sampled: there will be none`);
    }
  }

  /** Opens everything with rings of so many pages. False, with nothing left open: the limits do not grant them. */
  #openWith(ringPages: number, permitted: { excludeKernel: boolean; countsLost: boolean }): boolean {
    const { freq, events } = this.#options;
    const specs = [this.#leader, ...events, ...(this.#death ? [this.#death] : [])];
    this.#open = specs.map((spec, index) => ({
      spec,
      ids: [],
      isRefused: false,
      attr: commandEventAttr(spec, {
        freq,
        excludeKernel: permitted.excludeKernel && !spec.tracepoint,
        countsLost: permitted.countsLost,
        watermarkBytes: (ringPages * PAGE_BYTES) / 2,
        sideBand: index === 0,
      }),
    }));
    for (const cpu of readCpus().online) {
      if (this.#openOn(cpu, ringPages)) continue;
      this.closeAll();
      return false;
    }
    return true;
  }

  /** False: a ring of so many pages is over the limits here. */
  #openOn(cpu: number, ringPages: number): boolean {
    const [leader, ...others] = this.#open;
    const leaderFd = openPerfEvent(leader!.attr, this.#options.pid, cpu);
    // A CPU that went offline meanwhile has no events; every other refusal is perf's answer for all of them.
    if (leaderFd === -ENODEV) return true;
    if (leaderFd < 0) throw perfRefused(-leaderFd, leader!.spec.name);
    const ring = mapRing(leaderFd, cpu, ringPages);
    if (!ring) return false;
    this.rings.push(ring);
    leader!.ids.push(perfEventId(leaderFd));
    for (const event of others) {
      const fd = openPerfEvent(event.attr, this.#options.pid, cpu);
      if (fd < 0) {
        this.#refused(event, -fd);
        continue;
      }
      this.otherFds.push(fd);
      if (event.spec === this.#death) setPerfFilter(fd, FATAL_DELIVERY_FILTER);
      setPerfOutput(fd, leaderFd);
      event.ids.push(perfEventId(fd));
    }
    return true;
  }

  /** An event that cannot be had is left out and said; the others and the command go on. */
  #refused(event: OpenEvent, errno: number): void {
    if (event.spec === this.#death || event.isRefused) return;
    event.isRefused = true;
    this.degraded.push(`the event ${event.spec.name} is not recorded: the kernel refused it (${errnoName(errno)})`);
  }

  sourceEvents(): SourceEvent[] {
    return this.#open
      .filter(({ ids }) => ids.length > 0)
      .map(({ spec, attr, ids }) => ({
        name: spaceSuffixed(spec, attr),
        attr,
        ids,
        ...(spec.tracepoint ? { tracepoint: spec.tracepoint } : {}),
      }));
  }

  closeAll(): void {
    for (const fd of this.otherFds.splice(0)) closeSync(fd);
    for (const ring of this.rings.splice(0)) ring.close();
  }
}

/** Undefined, with the event closed: over the lock limits. Throws `perf-refused` where not even one page may be mapped. */
function mapRing(fd: number, cpu: number, pages: number): KernelRing | undefined {
  try {
    return new KernelRing(fd, cpu, pages);
  } catch (error) {
    closeSync(fd);
    if (!(error instanceof RingkeepError)) throw error;
    if (pages === 1) throw perfRefusedByLimit(error);
    return undefined;
  }
}

/** Software events that are counted in the kernel's own code: with user space alone they never fire. */
function happensInKernel(spec: EventSpec): boolean {
  return spec.type === EventType.software && KERNEL_EVENTS.has(spec.config);
}

/** perf's own way to say that the kernel is left out: `cpu-clock:u`. */
function spaceSuffixed(spec: EventSpec, attr: EventAttr): string {
  const suffix = hasFlag(attr, 'excludeKernel') && !spec.name.includes(':') ? ':u' : '';
  return `${spec.name}${suffix}`;
}

/** The tracepoint that names the thread which takes a signal, where it may be had and was not asked for anyway. */
function optionalTracepoint(name: string, asked: readonly EventSpec[]): EventSpec | undefined {
  if (asked.some((spec) => spec.name === name)) return undefined;
  try {
    return parseEventSpec(name);
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'unknown-event') return undefined;
    throw error;
  }
}

function perfRefused(errno: number, event: string): RingkeepError {
  const name = errnoName(errno);
  return new RingkeepError('perf-refused', `perf_event_open refused ${event}: ${name}`, { errno: name, event });
}

function perfRefusedByLimit(cause: RingkeepError): RingkeepError {
  const errno = cause.details.errno ?? 'EPERM';
  return new RingkeepError('perf-refused', `no perf ring could be mapped: ${errno}`, { errno }, { cause });
}
