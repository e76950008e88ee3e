/**
 * One execution of a setup: tasks on CPUs, step by step, in whatever order the driver chooses. Same setup, same choices,
 * same execution.
 *
 * The actors are the tasks, one scheduler a CPU, and the others of the setup. The rules of interleaving are the kernel's:
 *  - a task steps only while it is its CPU's current one, and not while that CPU switches;
 *  - a CPU must leave a task that blocks, sleeps or has ended; it may leave one that could go on while its preemptions last,
 *    but never one with interrupts or preemption off, or that is about to send an IPI;
 *  - whom it takes next is the first of its queue that can run;
 *  - a cross-call to a task's event waits while a CPU is switching that task.
 * The first switch of every CPU is done before the first choice: nothing can fall into it.
 *
 * Invariant: after every step the observers look; what they and the machine report is in `violations`, each once. A `Violation`
 * thrown ends the execution.
 */
import { assert } from '../../base/error.ts';
import { locate, type Operation, type Step } from '../../protocol/step.ts';
import type { Variant } from '../../protocol/variant.ts';
import { Violation } from '../../protocol/violation.ts';
import { Kernel } from './kernel.ts';
import { MachineStep } from './machine-step.ts';
import { Observers } from './observers.ts';
import { Scripts } from './script.ts';
import { childNames, parseAction, type Setup } from './setup.ts';
import type { Actor, Cpu, Scheduled } from './stage.ts';

export interface SimulatedViolation {
  readonly invariant: string;
  readonly message: string;
  /** The state that broke it. */
  readonly state: string;
  /** The step after which it was seen, and whose it was. */
  readonly step: string;
  readonly actor: string;
}

export interface SimulatedStep {
  readonly name: string;
  readonly a: number;
  readonly b: number;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** What a step does instead: the simulation, the step as it is, its operands. A replaced step never blocks. */
export type Replacement = (simulation: Simulation, step: Step, a: number, b: number) => number;

/** A wrong implementation: some steps, by name, do something else. */
export type Mutant = Readonly<Record<string, Replacement>>;

/** Makes the variant that a simulation runs, on its machine. */
export type MakeVariant = (kernel: Kernel, setup: Setup) => Variant;

const DEFAULT_RING = { dataPages: 1, auxPages: 1, auxPmu: true, injected: false };
/** Steps that take an event out of its task's context: by removal, or with its memory. */
const LEAVES_CONTEXT = new Set(['event.remove', 'event.free', 'event.release']);
/** Steps of the two tables that are cross-calls into a context. */
const CROSS_CALLS = new Set(['unpin', 'event.restart', 'event.remove', 'event.disable']);
/** Steps that find out whether an event is still there. Under the context's lock a kernel's sched-in and sched-out do. */
const LOOKS_UP = new Set([
  'event.find',
  'write.enter',
  'event.oncpu',
  'sched-in.enter',
  'slot.clear',
  'slot.store',
  'event.exit',
  'event.get',
]);
/** What an other waits for and may never see. */
const environmentSteps = new Set(['task.migrate', 'cpu.offline']);
const LEAVES_ATOMIC = new Set(['irq.on', 'write.leave']);

export class Simulation {
  readonly kernel: Kernel;
  readonly variant: Variant;
  readonly violations: SimulatedViolation[] = [];
  steps = 0;
  readonly #setup: Setup;
  readonly #mutant: Mutant | undefined;
  readonly #observers: Observers;
  readonly #scripts: Scripts;
  readonly #actors: Actor[] = [];
  readonly #tasks = new Map<number, Scheduled>();
  readonly #cpus: Cpu[] = [];
  readonly #events = new Map<string, number>();
  readonly #seen = new Set<string>();
  /** Events whose PMU was on. */
  readonly #started = new Set<number>();
  #isOver = false;
  #lastActor = '';
  #lastStep = '';

  constructor(setup: Setup, makeVariant: MakeVariant, mutant?: Mutant) {
    this.#setup = setup;
    this.#mutant = mutant;
    this.kernel = new Kernel({ ...DEFAULT_RING, ...setup.ring });
    this.variant = makeVariant(this.kernel, setup);
    this.kernel.extentOf = (event) => this.variant.observed.extent(event);
    this.#observers = new Observers(this.kernel, this.variant.observed, setup.cpus);
    this.#scripts = new Scripts({
      setup,
      kernel: this.kernel,
      variant: this.variant,
      observers: this.#observers,
      tasks: this.#tasks,
      cpus: this.#cpus,
      events: this.#events,
      event: (name) => this.event(name),
    });
    this.#build();
  }

  /** Names of all actors, also of tasks not yet born; an actor's number is its index. */
  get actors(): readonly string[] {
    return this.#actors.map(({ name }) => name);
  }

  /** Actors that may step now, ascending. Empty: the execution is over. */
  enabled(): number[] {
    if (this.#isOver) return [];
    const enabled: number[] = [];
    for (let i = 0; i < this.#actors.length; i++) if (this.#isEnabled(this.#actors[i]!)) enabled.push(i);
    return enabled;
  }

  /** The next step of an actor that has one. */
  pending(index: number): SimulatedStep | undefined {
    const actor = this.#actors[index]!;
    const { step, a, b } = actor;
    if (!step) return undefined;
    const { reads, writes } = this.#touched(step, a, b);
    return {
      name: step.name,
      a,
      b,
      reads: [...reads, ...this.#schedulingReads(actor, step, a)],
      writes: [...writes, ...this.#schedulingWrites(step, a)],
    };
  }

  /** Performs the next step of an enabled actor. */
  advance(index: number): void {
    const actor = this.#actors[index]!;
    const step = actor.step!;
    const { a, b } = actor;
    this.#lastActor = actor.name;
    this.#lastStep = step.name;
    this.steps++;
    try {
      const result = this.#perform(step, a, b);
      this.#follow(actor, step, a, result);
      actor.slept = false;
      actor.history = (Math.imul(actor.history ^ (result + 0x51), 0x0100_0193) + 1) | 0;
      this.#receive(actor, actor.operation.next(result));
      this.#observers.check();
    } catch (error) {
      this.#isOver = true;
      const broken = violationOf(error);
      this.kernel.report(broken.invariant, broken.message);
    }
    this.#collect();
  }

  /** After the last step: what must hold at the end. */
  finish(): void {
    if (!this.#isOver) {
      this.#observers.checkEnd();
      if ([...this.#events.values()].every((event) => this.variant.observed.isGone(event)))
        this.#observers.checkNothingLeft();
    }
    this.#isOver = true;
    this.#collect();
  }

  /** Actors that have not come to their end. Schedulers have none, and who waits for an occasion need not get one. */
  unfinished(): number[] {
    if (this.#isOver) return [];
    return this.#actors.flatMap(({ kind, finished, step }, index) =>
      kind === 'cpu' || finished || environmentSteps.has(step?.name ?? '') || !this.#isBorn(index) ? [] : [index],
    );
  }

  #isBorn(index: number): boolean {
    const { kind, number } = this.#actors[index]!;
    return kind !== 'task' || this.#tasks.get(number)!.isBorn;
  }

  /** The number of an event of the setup. */
  event(name: string): number {
    const event = this.#events.get(name);
    assert(event !== undefined, `no event is called ${name}`);
    return event;
  }

  /** The state, a line each for CPUs, events and address spaces. */
  describe(): string {
    const { observed } = this.variant;
    const cpus = this.#cpus.map(({ current }, cpu) => {
      const task = current > 0 ? this.#tasks.get(current)!.info.name : 'idle';
      return `cpu${cpu}: ${task}, slots [${observed
        .slots(cpu)
        .map((event) => this.#eventName(event))
        .join(' ')}]`;
    });
    const events = [...this.#events].map(([name, event]) => {
      if (observed.isGone(event)) return `${name}: gone`;
      const pmu = this.kernel.pmuCpu(event);
      return `${name}: ${observed.describe(event)} | pages ${this.kernel.ring(event).describe()}${pmu >= 0 ? ` | PMU on at cpu${pmu}` : ''}`;
    });
    const mms = this.kernel.shape.injected ? this.kernel.mms.map((mm) => mm.describe()) : [];
    return [...cpus, ...events, ...mms].join('\n');
  }

  /**
   * All that decides how the execution goes on, as text: equal texts, equal futures. Where an operation stands within a step's name is told by
   * 32 bits of the results it was sent.
   */
  fingerprint(): string {
    const actors = this.#actors.map(
      ({ history, step, a, b, atomic, finished, yields, slept }) =>
        `${step?.name},${a},${b},${history},${atomic},${+finished}${+yields}${+slept}`,
    );
    const tasks = [...this.#tasks.values()].map(({ events, isBorn }) => `${events.join('.')}${+isBorn}`);
    const cpus = this.#cpus.map(
      (cpu) => `${cpu.current}:${cpu.queue.join('.')}:${cpu.preemptions}:${cpu.switching ?? ''}:${+cpu.isOnline}`,
    );
    return [actors, tasks, cpus, this.variant.observed.words, this.kernel.fingerprint(), this.describe()].join('|');
  }

  // Building.

  #build(): void {
    const { cpus, tasks, others = [], preemptions = 0, failures = [] } = this.#setup;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const budget = typeof preemptions === 'number' ? preemptions : (preemptions[cpu] ?? 0);
      this.#cpus.push({ current: 0, queue: [], switching: undefined, preemptions: budget, isOnline: true });
    }
    const children = childNames(this.#setup);
    tasks.forEach(({ name, cpu, script, isElsewhere }, index) => {
      const id = index + 1;
      const isBorn = !children.has(name);
      const info = this.kernel.addTask(id, name, cpu, isBorn ? this.kernel.newMm() : null);
      const actor = this.#newActor(name, 'task', id);
      this.#tasks.set(id, { actor, info, events: [], isBorn });
      this.#begin(actor, isElsewhere ? nothing() : this.#scripts.live(id, script.map(parseAction)));
    });
    for (let cpu = 0; cpu < cpus; cpu++) this.#begin(this.#newActor(`cpu${cpu}`, 'cpu', cpu), this.#schedule(cpu));
    for (const [id, task] of this.#tasks) {
      if (!task.isBorn) continue;
      for (const name of tasks[id - 1]!.events ?? []) this.#events.set(name, this.#atOnce(this.variant.create(id)));
      task.events = (tasks[id - 1]!.events ?? []).map((name) => this.event(name));
      if (!tasks[id - 1]!.isElsewhere) this.#cpus[task.info.cpu]!.queue.push(id);
    }
    for (const { call, event, nth } of failures) this.kernel.fail({ call, event: this.event(event), nth });
    others.forEach(({ name, script }, index) => {
      this.#begin(this.#newActor(name, 'other', index), this.#scripts.meddle(script.map(parseAction)));
    });
    for (let cpu = 0; cpu < cpus; cpu++) {
      const scheduler = this.#actors.findIndex((actor) => actor.kind === 'cpu' && actor.number === cpu);
      do {
        if (!this.#isEnabled(this.#actors[scheduler]!)) break;
        this.advance(scheduler);
      } while (this.#cpus[cpu]!.switching !== undefined);
    }
    this.steps = 0;
  }

  #newActor(name: string, kind: Actor['kind'], number: number): Actor {
    const actor: Actor = {
      name,
      kind,
      number,
      operation: nothing(),
      step: undefined,
      a: -1,
      b: -1,
      atomic: 0,
      finished: false,
      yields: false,
      slept: false,
      history: 0,
    };
    this.#actors.push(actor);
    return actor;
  }

  #begin(actor: Actor, operation: Operation<unknown>): void {
    actor.operation = operation;
    this.#receive(actor, operation.next(0));
  }

  #receive(actor: Actor, next: IteratorResult<Step, unknown>): void {
    if (next.done === true) {
      actor.finished = true;
      actor.step = undefined;
      return;
    }
    actor.step = next.value;
    actor.a = next.value.a;
    actor.b = next.value.b;
  }

  /** Before the first choice nothing can fall in. */
  #atOnce<R>(operation: Operation<R>): R {
    let next = operation.next(0);
    while (next.done !== true) next = operation.next(next.value.perform(next.value.a, next.value.b));
    return next.value;
  }

  // Who may step.

  #isEnabled(actor: Actor): boolean {
    const { step } = actor;
    if (!step) return false;
    if (actor.kind === 'task' && !this.#isOnCpu(actor)) return false;
    if (actor.kind === 'task' && actor.yields) return false;
    return this.#isStepEnabled(step, actor.a, actor.b);
  }

  #isOnCpu(actor: Actor): boolean {
    const task = this.#tasks.get(actor.number)!;
    const cpu = this.#cpus[task.info.cpu]!;
    return task.isBorn && cpu.switching === undefined && cpu.current === actor.number;
  }

  #isStepEnabled(step: Step, a: number, b: number): boolean {
    if (CROSS_CALLS.has(step.name) && this.#isSwitching(a)) return false;
    if (this.#mutant && step.name in this.#mutant) return true;
    return step.enabled?.(a, b) ?? true;
  }

  /** Whether a CPU is in the middle of switching the event's task in or out. */
  #isSwitching(event: number): boolean {
    const task = this.variant.observed.task(event);
    return this.#cpus.some(({ switching }) => switching?.includes(task) ?? false);
  }

  /** Whether the CPU's scheduler may begin a switch. */
  #maySwitch(cpu: number): boolean {
    const { current, switching, preemptions, isOnline } = this.#cpus[cpu]!;
    if (switching !== undefined || !isOnline) return false;
    if (current === 0) return this.#nextOf(cpu) > 0;
    const { actor } = this.#tasks.get(current)!;
    if (actor.finished) return true;
    // Whoever waits for another CPU's interrupts spins, with preemption off.
    if (actor.atomic > 0 || actor.step!.name === 'irq.off') return false;
    if (actor.yields || !this.#isStepEnabled(actor.step!, actor.a, actor.b)) return true;
    if (this.#maySleep(actor)) return true;
    return preemptions > 0;
  }

  /** Whether getting a page may put the task to sleep: it is out, so memory has to be found or the swap to be read. Once an attempt. */
  #maySleep({ step, a, b, slept }: Actor): boolean {
    if (!this.#setup.sleeps || slept || (step?.name !== 'page.get' && step?.name !== 'pages.get')) return false;
    const page = step.name === 'page.get' ? b : this.variant.observed.heldPages(a);
    return this.kernel.ring(a).current(page) === 0;
  }

  /** The first of the CPU's queue that can run; 0: none. */
  #nextOf(cpu: number): number {
    return (
      this.#cpus[cpu]!.queue.find((id) => {
        const { actor } = this.#tasks.get(id)!;
        return actor.step !== undefined && (actor.yields || this.#isStepEnabled(actor.step, actor.a, actor.b));
      }) ?? 0
    );
  }

  // Steps.

  #perform(step: Step, a: number, b: number): number {
    if (a >= 0 && this.variant.observed.isGone(a) && !LOOKS_UP.has(step.name))
      throw new Violation('I8', `use after free: event ${a} is touched by ${step.name}, and it is gone`);
    const replacement = this.#mutant?.[step.name];
    return replacement ? replacement(this, step, a, b) : step.perform(a, b);
  }

  /** What the simulation has to know of a step that was performed. */
  #follow(actor: Actor, step: Step, a: number, result: number): void {
    const { name } = step;
    if (name === 'irq.off' || (name === 'write.enter' && result > 0)) actor.atomic++;
    else if (LEAVES_ATOMIC.has(name)) actor.atomic--;
    else if (name === 'pmu.start' || name === 'event.restart') this.#checkFirstStart(actor, a);
    else if (LEAVES_CONTEXT.has(name)) {
      for (const task of this.#tasks.values()) task.events = task.events.filter((event) => event !== a);
      if (name !== 'event.remove') {
        this.kernel.close(a);
        this.#started.delete(a);
      }
    }
  }

  /** I6: the first start is made by the work of the event's own task. */
  #checkFirstStart(actor: Actor, event: number): void {
    if (this.kernel.pmuCpu(event) < 0 || this.#started.has(event)) return;
    this.#started.add(event);
    const task = this.variant.observed.task(event);
    // A recorder runs the works of tasks that are elsewhere.
    if (this.#setup.tasks[task - 1]?.isElsewhere) return;
    if (actor.kind !== 'task' || actor.number !== task)
      this.kernel.report('I6', `the first start of event ${event} is not made by its own task’s work`);
  }

  #touched(step: Step, a: number, b: number): { reads: readonly string[]; writes: readonly string[] } {
    if (step instanceof MachineStep) return step.touched();
    const taskOf = (event: number) => this.variant.observed.task(event);
    return { reads: locate(step.reads, a, b, taskOf), writes: locate(step.writes, a, b, taskOf) };
  }

  /** What else decides whether the actor may step, and what it does next: who is current where, whose events are in which context. */
  #schedulingReads(actor: Actor, step: Step, a: number): readonly string[] {
    const reads: string[] = [];
    if (actor.kind === 'task')
      reads.push(`cpu.current[${this.#tasks.get(actor.number)!.info.cpu}]`, `machine.cpu[${actor.number}]`);
    if (actor.kind === 'cpu') {
      const { current, queue, switching } = this.#cpus[actor.number]!;
      for (const task of switching ?? [current, ...queue]) if (task > 0) reads.push(`context[${task}]`);
    }
    if (CROSS_CALLS.has(step.name)) {
      const task = this.#tasks.get(this.variant.observed.task(a));
      if (task) reads.push(`cpu.current[${task.info.cpu}]`, `machine.cpu[${task.info.id}]`);
    }
    return reads;
  }

  /** What the simulation itself changes behind a step: an event that goes leaves its task's context. */
  #schedulingWrites(step: Step, a: number): readonly string[] {
    return LEAVES_CONTEXT.has(step.name) ? [`context[${this.variant.observed.task(a)}]`] : [];
  }

  #collect(): void {
    for (const { invariant, message } of this.kernel.broken.splice(0)) {
      const key = `${invariant} ${message}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.violations.push({
        invariant,
        message: this.#named(message),
        state: this.describe(),
        step: this.#lastStep,
        actor: this.#lastActor,
      });
    }
  }

  *#schedule(cpu: number): Operation<void> {
    const state = this.#cpus[cpu]!;
    const touched = () => ({
      reads: [`cpu.queue[${cpu}]`],
      writes: [`cpu.current[${cpu}]`, `cpu.queue[${cpu}]`],
    });
    const begin = new MachineStep(
      'cpu.switch',
      () => {
        const { reads, writes } = touched();
        return { reads: [...reads, ...this.#blockingReads(cpu)], writes };
      },
      () => this.#beginSwitch(cpu),
      () => this.#maySwitch(cpu),
    );
    const end = new MachineStep('cpu.switched', touched, () => this.#endSwitch(cpu));
    for (;;) {
      yield begin;
      const [previous, next] = state.switching!;
      for (const event of this.#tasks.get(previous)?.events ?? []) yield* this.variant.schedOut(event);
      for (const event of this.#rotated(next)) {
        this.kernel.forgiveFailure(event);
        yield* this.variant.schedIn(event, cpu);
      }
      yield end;
    }
  }

  /** What decides whether the CPU's tasks are blocked, hence whether and whom it switches. */
  #blockingReads(cpu: number): readonly string[] {
    const { current, queue } = this.#cpus[cpu]!;
    return [current, ...queue].flatMap((id) => {
      const { step, a, b } = this.#tasks.get(id)?.actor ?? {};
      return step?.enabled ? [...this.#touched(step, a!, b!).reads] : [];
    });
  }

  /** perf rotates a context's events, so that those that found no room come first the next time. */
  #rotated(id: number): readonly number[] {
    const task = this.#tasks.get(id);
    if (!task) return [];
    const order = [...task.events];
    if (task.events.length > 1) task.events.push(task.events.shift()!);
    return order;
  }

  #beginSwitch(cpu: number): number {
    const state = this.#cpus[cpu]!;
    const { current } = state;
    if (current > 0) {
      const { actor } = this.#tasks.get(current)!;
      const couldGoOn = !actor.finished && !actor.yields && this.#isStepEnabled(actor.step!, actor.a, actor.b);
      if (couldGoOn && this.#maySleep(actor)) actor.slept = true;
      else if (couldGoOn) state.preemptions--;
    }
    // Whoever leaves queues behind the choice: with nobody else there the CPU idles, and may lose it to another one.
    const next = this.#nextOf(cpu);
    const leaving = this.#tasks.get(current);
    if (leaving && !leaving.actor.finished) state.queue.push(current);
    state.switching = [current, next];
    if (next > 0) {
      state.queue.splice(state.queue.indexOf(next), 1);
      this.#tasks.get(next)!.actor.yields = false;
    }
    return next;
  }

  #endSwitch(cpu: number): number {
    const state = this.#cpus[cpu]!;
    state.current = state.switching![1];
    state.switching = undefined;
    return state.current;
  }

  /** A message with the setup's names for its numbers. */
  #named(message: string): string {
    return message
      .replace(/\bevent (\d+)/g, (_, event) => `event ${this.#eventName(Number(event))}`)
      .replace(/\btask (\d+)/g, (_, task) => `task ${this.kernel.tasks.get(Number(task))?.name ?? task}`);
  }

  #eventName(event: number): string {
    for (const [name, number] of this.#events) if (number === event) return name;
    return String(event);
  }
}

function* nothing(): Operation<void> {}

/** The protocol's own assertions name the invariant too; any other error is a bug of the simulation. */
function violationOf(error: unknown): { invariant: string; message: string } {
  if (error instanceof Violation) return { invariant: error.invariant, message: error.message };
  const message = error instanceof Error ? error.message : '';
  const named = /^assertion failed: (I\d+): (.*)/.exec(message);
  if (named) return { invariant: named[1]!, message };
  throw error;
}
