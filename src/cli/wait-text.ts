/**
 * Places in one line, and the times that threads spent off the CPUs with the place where each was. Pure. Invariant:
 * of a stack's kernel part one place is named, the function that waits, not those of the scheduler below it.
 */
import { formatDurationNs } from '../base/units.ts';
import { frameText, type StackFrame } from '../perf-data/stack.ts';
import type { PostMortem, ThreadReport, WaitReport } from '../post-mortem/report.ts';
import { type Paint, printable, wrapped } from './terminal.ts';

/** Places of a wait's stack. */
const WAIT_PLACES = 4;
/** Shorter waits are not shown. */
const WAIT_MIN_NS = 1_000_000;
/** Lines of the waits of all threads. */
const LONGEST_LINES = 5;
/** Functions that every sleeper is in: /proc/PID/wchan skips them too (in_sched_functions, kernel/sched/core.c). */
const SCHEDULER = /^_*(io_)?(schedule|preempt_schedule|do_nanosleep)(_|$)/;

/** Entry into the kernel and exit from it: interrupts and signals, not the code's own calls. */
const ENTRY = /^(asm_|entry_|irqentry_|exit_to_user_mode|do_syscall_64|x64_sys_call|arch_do_signal|el0)/;

/** A stack in one line, innermost first. A place in no known file is left out where there is another. */
export function placesOf(frames: readonly StackFrame[]): string[] {
  const isKernelOnly = frames.every(({ isKernel }) => isKernel);
  const kernel = frames.filter(({ isKernel, name }) => isKernel && (name === null || !SCHEDULER.test(name)));
  const inner = kernel.filter(({ name }) => name === null || !ENTRY.test(name)).slice(0, 1);
  const shown = isKernelOnly ? (kernel.length > 0 ? kernel : frames) : [...inner, ...userFrames(frames)];
  const places: string[] = [];
  for (const frame of shown) {
    const isNamed = frame.name !== null || isKernelOnly;
    const place = frame.isKernel && !isNamed ? '[kernel]' : printable(shortText(frame));
    if (place !== places.at(-1)) places.push(place);
  }
  return places;
}

/** Without frame pointers an unwinder takes other numbers on the stack for addresses. */
function userFrames(frames: readonly StackFrame[]): StackFrame[] {
  const user = frames.filter(({ isKernel }) => !isKernel);
  const mapped = user.filter(({ file, name }) => file !== null || name !== null);
  return mapped.length > 0 ? mapped : user;
}

/** The name alone, with the line of what is JavaScript. */
function shortText(frame: StackFrame): string {
  return frame.name === null || frame.source !== null ? frameText(frame) : frame.name;
}

/** The longest times that the thread was off the CPUs. */
export function waitLines({ waits }: ThreadReport, report: PostMortem, width: number): string[] {
  return waits
    .filter(({ durationNs }) => durationNs >= WAIT_MIN_NS)
    .flatMap((wait) => wrapped(`  ${lengthText(wait)}${endText(wait, report)}${placeText(wait)}`, width));
}

/** The longest of all threads: those of one name and kind in the same place are one line. */
export function longestWaits({ threads, ...report }: PostMortem, width: number, paint: Paint): string[] {
  const groups = new Map<string, { wait: WaitReport; tid: number; comm: string; tids: Set<number> }>();
  for (const { tid, comm, waits } of threads) {
    for (const wait of waits) {
      if (wait.durationNs < WAIT_MIN_NS) continue;
      const key = `${comm}\0${wait.kind}\0${placeText({ ...wait, lastSeen: null })}`;
      const group = groups.get(key);
      group?.tids.add(tid);
      if (group && group.wait.durationNs >= wait.durationNs) continue;
      groups.set(key, { wait, tid, comm: comm ?? '?', tids: group?.tids ?? new Set([tid]) });
    }
  }
  if (threads.length < 2 || groups.size === 0) return [];
  const longest = [...groups.values()].sort((a, b) => b.wait.durationNs - a.wait.durationNs);
  const lines = longest.slice(0, LONGEST_LINES).flatMap(({ wait, tid, comm, tids }) => {
    const others = tids.size > 1 ? ` and ${tids.size - 1} more` : '';
    const text = `${lengthText(wait)}${endText(wait, report)}${placeText(wait)}`;
    return wrapped(`  ${comm} ${tid}${others}: ${text}`, width);
  });
  return ['', paint('bold', 'the longest times off the CPUs:'), ...lines];
}

function lengthText({ kind, durationNs }: WaitReport): string {
  return `${kind === 'slept' ? 'slept' : 'waited for a CPU'} ${formatDurationNs(durationNs)}`;
}

function endText({ endedBeforeNs }: WaitReport, report: Pick<PostMortem, 'death'>): string {
  if (endedBeforeNs === null) return '';
  if (endedBeforeNs === 0) return ` up to ${endOf(report)}`;
  return ` until ${formatDurationNs(endedBeforeNs)} before ${endOf(report)}`;
}

/** Where it was, or where it was last seen before. */
function placeText({ frames, lastSeen }: WaitReport): string {
  const where = placesOf(frames ?? []).slice(0, WAIT_PLACES);
  if (where.length > 0) return ` in ${where.join(' < ')}`;
  const seen = placesOf(lastSeen?.frames ?? []).slice(0, WAIT_PLACES);
  if (lastSeen === null || seen.length === 0) return '';
  return `, last seen ${formatDurationNs(lastSeen.earlierNs)} earlier in ${seen.join(' < ')}`;
}

/** The moment that times count back from. */
export function endOf({ death }: Pick<PostMortem, 'death'>): string {
  return death === null ? 'the end' : 'the death';
}
