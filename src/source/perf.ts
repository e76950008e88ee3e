/**
 * The kernel's own records of a command: one ring a CPU, filled by events on the command's first task that every task
 * it starts inherits. What an unprivileged user may have at perf_event_paranoid 2 is enough.
 *
 * 1. On each online CPU open the leader (clock samples and side-band) and map its ring; halve the rings until the lock
 *    limits let them be.
 * 2. Open the other events on the CPU and send their records into the same ring.
 * 3. The events start at the task's next exec.
 */
import { closeSync } from 'node:fs';
import { type EventAttr, hasFlag } from '../abi/event-attr.ts';
import { type RecordGeometry, recordGeometry } from '../abi/record.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { formatSize } from '../base/units.ts';
import { KernelRing, openPerfEvent, perfEventId, setPerfFilter, setPerfOutput } from '../linux/perf-event.ts';
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

/** 512 KiB a CPU: with its user page just what perf_event_mlock_kb (516) grants everybody. */
const RING_PAGES = 128;
const LATENCY_MS = 100;
/** The signals that end a process unless handled (signal(7)), and SIGKILL, which no handler sees. */
const FATAL_SIGNALS = [3, 4, 5, 6, 7, 8, 9, 11, 24, 25, 31];
const DEATH_TRACEPOINT = 'signal:signal_deliver';

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
  #collected: number[] = [];

  private constructor(
    events: readonly SourceEvent[],
    degraded: readonly string[],
    rings: readonly KernelRing[],
    otherFds: readonly number[],
  ) {
    this.events = events;
    this.geometry = recordGeometry(events[0]!.attr);
    this.degraded = degraded;
    this.#rings = rings;
    this.#otherFds = otherFds;
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
    return new PerfSource(opening.sourceEvents(), opening.degraded, opening.rings, opening.otherFds);
  }

  get wakeFds(): readonly number[] {
    return this.#rings.map((ring) => ring.fd);
  }

  get bufferBytes(): number {
    return this.#rings.reduce((sum, ring) => sum + ring.dataBytes + PAGE_BYTES, 0);
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
  #excludeKernel = false;
  #ringPages = RING_PAGES;
  #open: OpenEvent[] = [];

  constructor(options: PerfSourceOptions) {
    this.#options = options;
  }

  openAll(): void {
    const leader = parseEventSpec('cpu-clock');
    const death = optionalTracepoint(DEATH_TRACEPOINT, this.#options.events);
    this.#excludeKernel = this.#kernelIsForbidden(leader);
    const specs = [leader, ...this.#options.events, ...(death ? [death] : [])];
    this.#open = specs.map((spec, index) => ({
      spec,
      ids: [],
      isRefused: false,
      attr: commandEventAttr(spec, {
        freq: this.#options.freq,
        excludeKernel: this.#excludeKernel && !spec.tracepoint,
        watermarkBytes: (this.#ringPages * PAGE_BYTES) / 2,
        sideBand: index === 0,
      }),
    }));
    for (const cpu of readCpus().online) this.#openOn(cpu, death);
    if (this.rings.length === 0)
      throw new RingkeepError('perf-refused', 'no CPU has a perf event', { errno: 'ENODEV' });
    if (this.#excludeKernel) {
      const paranoid = readProcText('/proc/sys/kernel/perf_event_paranoid')?.trim() ?? '?';
      this.degraded.push(`kernel frames and kernel time are not sampled (perf_event_paranoid is ${paranoid})`);
    }
    if (this.#ringPages < RING_PAGES) {
      const size = formatSize(this.#ringPages * PAGE_BYTES);
      this.degraded.push(
        `the kernel's rings are ${size} a CPU instead of ${formatSize(RING_PAGES * PAGE_BYTES)} (lock limits)`,
      );
    }
  }

  /** Kernel samples need CAP_PERFMON or perf_event_paranoid ≤ 1: tried, not deduced. */
  #kernelIsForbidden(leader: EventSpec): boolean {
    const attr = commandEventAttr(leader, {
      freq: this.#options.freq,
      excludeKernel: false,
      watermarkBytes: 0,
      sideBand: false,
    });
    const fd = openPerfEvent(attr, this.#options.pid, -1);
    if (fd < 0) return true;
    closeSync(fd);
    return false;
  }

  #openOn(cpu: number, death: EventSpec | undefined): void {
    const [leader, ...others] = this.#open;
    const leaderFd = openPerfEvent(leader!.attr, this.#options.pid, cpu);
    // A CPU that went offline meanwhile has no events (ENODEV); every other refusal is perf's answer for all of them.
    if (leaderFd === -19) return;
    if (leaderFd < 0) throw perfRefused(-leaderFd, leader!.spec.name);
    this.rings.push(this.#mapRing(leaderFd, cpu));
    leader!.ids.push(perfEventId(leaderFd));
    for (const event of others) {
      const fd = openPerfEvent(event.attr, this.#options.pid, cpu);
      if (fd < 0) {
        this.#refused(event, -fd, death);
        continue;
      }
      this.otherFds.push(fd);
      if (event.spec === death) setPerfFilter(fd, FATAL_SIGNALS.map((signal) => `sig==${signal}`).join('||'));
      setPerfOutput(fd, leaderFd);
      event.ids.push(perfEventId(fd));
    }
  }

  /** An event that cannot be had is left out and said; the others and the command go on. */
  #refused(event: OpenEvent, errno: number, death: EventSpec | undefined): void {
    if (event.spec === death || event.isRefused) return;
    event.isRefused = true;
    this.degraded.push(`the event ${event.spec.name} is not recorded: the kernel refused it (${errnoName(errno)})`);
  }

  #mapRing(fd: number, cpu: number): KernelRing {
    for (;;) {
      try {
        return new KernelRing(fd, cpu, this.#ringPages);
      } catch (error) {
        if (!(error instanceof RingkeepError) || this.#ringPages === 1) {
          closeSync(fd);
          throw error instanceof RingkeepError ? perfRefusedByLimit(error) : error;
        }
        this.#ringPages /= 2;
      }
    }
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
    for (const fd of this.otherFds) closeSync(fd);
    for (const ring of this.rings) ring.close();
  }
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
