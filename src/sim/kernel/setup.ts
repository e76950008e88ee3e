/**
 * What a simulation begins with: CPUs, tasks with their scripts, events with their rings, and the other actors.
 *
 * A script is a list of lines, each a verb and its operands: tasks and events by name, CPUs and pages by number.
 *
 *   run              a stretch of user mode: works first, then what the hardware writes meanwhile
 *   write E          a software record into E's ring       user-page E     perf_event_update_userpage
 *   restart E        address filters change                 disable E       PERF_EVENT_IOC_DISABLE
 *   remove E         E's file is removed                    reclaim E 1     page 1 of E's ring, if unreferenced
 *   fork B           B begins, with a copy of the mm        clone B         B begins, in the same mm
 *   exec             a new mm                               exit            the end of the task
 *   grow E 3         E's extent becomes 3 pages
 *   munmap E         and an mmap that takes its address     mprotect E      and a store into the ring
 *   migrate A 1      to CPU 1's queue, once it is off       offline 1       CPU 1 leaves, its tasks have moved
 *   turn E 1         a recorder takes in a record of E from CPU 1
 *   dump             the core of this task's process        sleep           off the CPU, and runnable again
 */
import { assert } from '../../base/error.ts';
import type { Fallible } from './kernel.ts';
import type { RingShape } from './ring-memory.ts';

export interface TaskSetup {
  readonly name: string;
  readonly cpu: number;
  /** Its events; those of a child are named in the order of its parent's. */
  readonly events?: readonly string[];
  readonly script: readonly string[];
  /** It runs elsewhere: no CPU here schedules it, a recorder only sees its records. */
  readonly isElsewhere?: boolean;
}

export interface OtherSetup {
  readonly name: string;
  readonly script: readonly string[];
}

export interface Setup {
  readonly cpus: number;
  /** Default: 1 data page, 1 AUX page, AUX hardware, not injected. */
  readonly ring?: Partial<RingShape>;
  readonly tasks: readonly TaskSetup[];
  readonly others?: readonly OtherSetup[];
  /** How often each CPU may switch away from a task that could go on. Default 0. */
  readonly preemptions?: number | readonly number[];
  /** Getting a page that is out may sleep, whatever the preemptions. */
  readonly sleeps?: boolean;
  readonly failures?: readonly { readonly call: Fallible; readonly event: string; readonly nth: number }[];
  /** Pages that a first pin takes; default the whole ring. Only the corrected protocol knows less. */
  readonly extentPages?: number;
}

/** A line of a script, read. */
export interface Action {
  readonly verb: string;
  /** A task or an event. */
  readonly name: string;
  /** A page or a CPU. */
  readonly number: number;
}

const OPERANDS: Readonly<Record<string, 'none' | 'event' | 'task' | 'event-number' | 'task-number' | 'number'>> = {
  run: 'none',
  sleep: 'none',
  exec: 'none',
  exit: 'none',
  dump: 'none',
  write: 'event',
  'user-page': 'event',
  restart: 'event',
  disable: 'event',
  remove: 'event',
  munmap: 'event',
  mprotect: 'event',
  turn: 'event-number',
  grow: 'event-number',
  reclaim: 'event-number',
  fork: 'task',
  clone: 'task',
  migrate: 'task-number',
  offline: 'number',
};

/** Reads a line of a script; a wrong one is a bug of its scenario. */
export function parseAction(line: string): Action {
  const [verb = '', ...operands] = line.split(' ');
  const kind = OPERANDS[verb];
  assert(kind !== undefined, `a script has no verb "${verb}"`);
  const names = kind === 'none' || kind === 'number' ? 0 : 1;
  const numbers = kind.endsWith('number') ? 1 : 0;
  assert(operands.length === names + numbers, `"${line}": ${verb} takes ${names + numbers} operands`);
  const number = numbers === 0 ? -1 : Number(operands[names]);
  assert(Number.isInteger(number), `"${line}": not a number`);
  return { verb, name: names === 0 ? '' : operands[0]!, number };
}

/** The events that a task of the setup comes to own without creating them: those of children. */
export function childNames(setup: Setup): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { script } of setup.tasks) {
    for (const { verb, name } of script.map(parseAction)) if (verb === 'fork' || verb === 'clone') names.add(name);
  }
  return names;
}
