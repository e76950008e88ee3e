/**
 * A random set-up of moderate size: CPUs, tasks with events and scripts, actors that remove, restart, reclaim,
 * migrate or take a CPU offline, calls that fail.
 *
 * Invariant: a seed is a set-up, and every set-up ends: no task waits for a CPU that went offline.
 */
import { Prng } from '../../../base/prng.ts';
import type { Fallible } from '../kernel.ts';
import type { OtherSetup, Setup, TaskSetup } from '../setup.ts';

export interface RandomSetup {
  readonly setup: Setup;
  readonly slotsPerCpu: number;
  /** Pages that one `getPages` takes at most: 1 as a kernel, or all as mlock. */
  readonly pagesPerCall: number;
}

const FALLIBLE: readonly Fallible[] = ['queueWork', 'getPage', 'setupSg', 'addPmu', 'mapRing'];

export function randomSetup(seed: number): RandomSetup {
  const random = new Prng(seed);
  const cpus = 1 + random.below(3);
  const hasAux = random.oneIn(2);
  const injected = random.oneIn(2);
  const ring = { dataPages: hasAux ? 1 : 3, auxPages: hasAux ? 2 : 0, auxPmu: hasAux, injected };
  const pages = 1 + ring.dataPages + ring.auxPages;
  const tasks = randomTasks(random, cpus, pages, hasAux);
  const events = tasks.flatMap((task) => task.events ?? []);
  const created = tasks[0]!.events!.concat(tasks[1]!.events!);
  const setup: Setup = {
    cpus,
    ring,
    tasks,
    others: randomOthers(random, cpus, pages, created),
    preemptions: random.below(5),
    sleeps: random.oneIn(3),
    failures: Array.from({ length: random.oneIn(2) ? 0 : 1 + random.below(4) }, () => ({
      call: random.pick(FALLIBLE),
      event: random.pick(created),
      nth: 1 + random.below(4),
    })),
    ...(hasAux ? {} : { extentPages: 2 + random.below(pages - 1) }),
  };
  return {
    setup,
    slotsPerCpu: random.pick([1, 2, 4]),
    pagesPerCall: random.oneIn(2) ? 1 : events.length * pages,
  };
}

/** Two tasks that exit at their end, mostly a child of the first, all with one or two events. */
function randomTasks(random: Prng, cpus: number, pages: number, hasAux: boolean): TaskSetup[] {
  const eventsOf = (letters: string) => letters.slice(0, 1 + random.below(2)).split('');
  const [first, second] = [eventsOf('EF'), eventsOf('GH')];
  const tasks: TaskSetup[] = [
    { name: 'A', cpu: 0, events: first, script: [...lines(random, first, pages, hasAux), 'exit'] },
    { name: 'B', cpu: random.below(cpus), events: second, script: [...lines(random, second, pages, hasAux), 'exit'] },
  ];
  if (random.oneIn(3)) return tasks;
  const inherited = first.map((_, index) => 'IJ'[index]!);
  const script = [...lines(random, inherited, pages, hasAux), 'exit'];
  const verb = random.oneIn(2) ? 'fork C' : 'clone C';
  return [
    { ...tasks[0]!, script: ['run', verb, ...tasks[0]!.script] },
    tasks[1]!,
    { name: 'C', cpu: 0, events: inherited, script },
  ];
}

function lines(random: Prng, events: readonly string[], pages: number, hasAux: boolean): string[] {
  const verbs = [
    'run',
    'sleep',
    'write',
    'write',
    'write',
    'user-page',
    'exec',
    'disable',
    ...(hasAux ? [] : ['grow']),
  ];
  const script = Array.from({ length: 2 + random.below(4) }).flatMap(() => {
    const verb = random.oneIn(20) ? 'dump' : random.pick(verbs);
    if (verb === 'exec') return ['exec', 'sleep']; // The next sched-in injects again.
    if (verb === 'run' || verb === 'sleep' || verb === 'dump') return verb;
    const line = `${verb} ${random.pick(events)}`;
    return verb === 'grow' ? `${line} ${pages}` : line;
  });
  return [...script, 'run'];
}

function randomOthers(random: Prng, cpus: number, pages: number, events: readonly string[]): OtherSetup[] {
  const others: OtherSetup[] = [
    { name: 'filter', script: Array.from({ length: 2 }, () => `restart ${random.pick(events)}`) },
    {
      name: 'reclaim',
      script: Array.from({ length: 6 }, () => `reclaim ${random.pick(events)} ${random.below(pages)}`),
    },
  ];
  if (random.oneIn(2)) others.push({ name: 'rm', script: [`remove ${random.pick(events)}`] });
  if (cpus > 1 && random.oneIn(2)) others.push({ name: 'balance', script: ['migrate A 1', 'migrate B 0'] });
  // CPU 2 is the target of no migration: it leaves once the task that began there has ended.
  if (cpus > 2) others.push({ name: 'hotplug', script: ['offline 2'] });
  return others;
}
