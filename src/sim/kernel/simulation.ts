/**
 * One execution of a setup: tasks on CPUs, step by step, in whatever order the driver chooses. Same setup, same
 * choices, same execution.
 *
 * The actors are the tasks, one scheduler a CPU (scheduler.ts: which of them may step), and the others of the setup.
 * The first switch of every CPU is done before the first choice: no step of another actor comes between.
 *
 * Invariant: after every step the observers look; what they and the machine report is in `violations`, each once. A
 * `Violation` thrown ends the execution.
 */
import { assert } from '../../base/error.ts';
import type { Operation, Step } from '../../protocol/step.ts';
import type { Variant } from '../../protocol/variant.ts';
import { Violation } from '../../protocol/violation.ts';
import { Kernel } from './kernel.ts';
import { Observers } from './observers.ts';
import { Scheduler } from './scheduler.ts';
import { Scripts } from './script.ts';
import { childNames, parseAction, type Setup } from './setup.ts';
import type { Actor, Cpu, Scheduled, Stage } from './stage.ts';

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

/** Looks on before and after each step's effect. */
export interface StepWatch {
  before(): void;
  after(step: Step, a: number, b: number): void;
}

export interface SimulationOptions {
  readonly mutant?: Mutant | undefined;
  readonly watch?: StepWatch | undefined;
}

/** Makes the variant that a simulation runs, on its machine. */
export type MakeVariant = (kernel: Kernel, setup: Setup) => Variant;

const DEFAULT_RING = { dataPages: 1, auxPages: 1, auxPmu: true, injected: false };
export class Simulation {
  readonly kernel: Kernel;
  readonly variant: Variant;
  readonly violations: SimulatedViolation[] = [];
  steps = 0;
  readonly #setup: Setup;
  readonly #mutant: Mutant | undefined;
  readonly #watch: StepWatch | undefined;
  readonly #observers: Observers;
  readonly #scripts: Scripts;
  readonly #scheduler: Scheduler;
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

  constructor(setup: Setup, makeVariant: MakeVariant, { mutant, watch }: SimulationOptions = {}) {
    this.#setup = setup;
    this.#mutant = mutant;
    this.#watch = watch;
    this.kernel = new Kernel({ ...DEFAULT_RING, ...setup.ring });
    this.variant = makeVariant(this.kernel, setup);
    this.kernel.extentOf = (event) => this.variant.observed.extent(event);
    this.#observers = new Observers(this.kernel, this.variant.observed, setup.cpus);
    const stage: Stage = {
      setup,
      kernel: this.kernel,
      variant: this.variant,
      observers: this.#observers,
      tasks: this.#tasks,
      cpus: this.#cpus,
      events: this.#events,
      unrecorded: new Set(),
      event: (name) => this.event(name),
    };
    this.#scripts = new Scripts(stage);
    this.#scheduler = new Scheduler(stage, new Set(Object.keys(mutant ?? {})));
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
    for (let i = 0; i < this.#actors.length; i++) if (this.#scheduler.isEnabled(this.#actors[i]!)) enabled.push(i);
    return enabled;
  }

  /** The next step of an actor that has one. */
  pending(index: number): SimulatedStep | undefined {
    const actor = this.#actors[index]!;
    const { step, a, b } = actor;
    if (!step) return undefined;
    return { name: step.name, a, b, ...this.#scheduler.touched(actor, step, a, b) };
  }

  /** The name of an actor's next step. */
  nameOf(index: number): string | undefined {
    return this.#actors[index]!.step?.name;
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
      // Any other error is a bug of the simulation.
      if (!(error instanceof Violation)) throw error;
      this.#isOver = true;
      this.kernel.report(error.invariant, error.message);
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

  /**
   * Actors that have not finished. Schedulers never do, and a step that waits for the environment need not be
   * performed.
   */
  unfinished(): number[] {
    if (this.#isOver) return [];
    return this.#actors.flatMap(({ kind, finished, step }, index) =>
      kind === 'cpu' || finished || step?.traits.environment || !this.#isBorn(index) ? [] : [index],
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
   * All that decides how the execution continues, as text: equal texts, equal futures. An operation's position behind
   * a step's name is given by 32 bits of the results that it was sent.
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
    for (let cpu = 0; cpu < cpus; cpu++)
      this.#begin(this.#newActor(`cpu${cpu}`, 'cpu', cpu), this.#scheduler.schedule(cpu));
    for (const [id, task] of this.#tasks) {
      if (!task.isBorn) continue;
      for (const name of tasks[id - 1]!.events ?? []) this.#events.set(name, this.#atOnce(this.variant.create(id)));
      task.events = (tasks[id - 1]!.events ?? []).map((name) => this.event(name));
      if (!tasks[id - 1]!.isElsewhere) this.#cpus[task.info.cpu]!.queue.push(id);
    }
    for (const { call, event, nth } of failures) this.kernel.fail({ call, event: this.event(event), nth });
    others.forEach(({ name, script }, index) => {
      this.#begin(this.#newActor(name, 'other', index), this.#scripts.beside(script.map(parseAction)));
    });
    for (let cpu = 0; cpu < cpus; cpu++) {
      const scheduler = this.#actors.findIndex((actor) => actor.kind === 'cpu' && actor.number === cpu);
      do {
        if (!this.#scheduler.isEnabled(this.#actors[scheduler]!)) break;
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

  /** Before the first choice: no step of another actor comes between. */
  #atOnce<R>(operation: Operation<R>): R {
    let next = operation.next(0);
    while (next.done !== true) next = operation.next(next.value.perform(next.value.a, next.value.b));
    return next.value;
  }

  // Steps.

  #perform(step: Step, a: number, b: number): number {
    if (a >= 0 && this.variant.observed.isGone(a) && !step.traits.looksUp)
      throw new Violation('I8', `use after free: event ${a} is touched by ${step.name}, and it is gone`);
    const replacement = this.#mutant?.[step.name];
    this.#watch?.before();
    const result = replacement ? replacement(this, step, a, b) : step.perform(a, b);
    this.#watch?.after(step, a, b);
    return result;
  }

  /** What the simulation has to know of a step that was performed. */
  #follow(actor: Actor, step: Step, a: number, result: number): void {
    const { preemption, startsPmu, leavesContext } = step.traits;
    if (preemption === 'off' && result !== 0) actor.atomic++;
    if (preemption === 'on') actor.atomic--;
    if (startsPmu) this.#checkFirstStart(actor, a);
    if (!leavesContext) return;
    for (const task of this.#tasks.values()) task.events = task.events.filter((event) => event !== a);
    if (leavesContext === 'removed') return;
    this.kernel.close(a);
    this.#observers.forget(a);
    this.#started.delete(a);
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
