/**
 * A random world for the protocol: CPUs that switch tasks, tasks that run works, write and exit, and others who remove,
 * restart, dump and reclaim. One seed is one schedule: at each point any actor that can run may perform its next step.
 *
 * Invariant: after every step I1 to I9, I11 and I12 of docs/PROTOCOL.md are checked, and that the step touched no more than it
 * declares. The rules of interleaving are the kernel's: a task runs only on a CPU; a CPU does not switch while its task has
 * preemption off; an IPI waits for interrupts.
 */

import { Prng } from '../../base/prng.ts';
import { Account } from '../account.ts';
import { CpuWord, EventWord, Gate, RecorderWord } from '../corrected/state.ts';
import { EventState } from '../event-state.ts';
import { Pinning } from '../pinning.ts';
import { type Operation, Step } from '../step.ts';
import { expectInvariant, Violation } from '../violation.ts';
import { type Failing, MemoryMachine } from './memory-machine.ts';
import { WatchedState } from './watched-state.ts';

/** A step whose effect is replaced: what a wrong implementation would do there. */
export interface Mutant {
  readonly step: string;
  readonly perform: (world: World, step: Step, a: number, b: number) => number;
}

export interface WorldOptions {
  readonly seed: number;
  readonly cpus: number;
  readonly slotsPerCpu: number;
  readonly tasks: number;
  readonly eventsPerTask: number;
  /** Works and user actions of each task before it exits. */
  readonly rounds: number;
  /** One of how many fallible calls fails; 0: none. */
  readonly failOneIn: number;
  /** Whether events have AUX areas; else they are data-only, with an extent that grows. */
  readonly aux: boolean;
  readonly inject: boolean;
  /** Others: removal, restart, core dump, reclaim. */
  readonly others: boolean;
  readonly mutant?: Mutant;
}

interface Task {
  readonly id: number;
  readonly events: number[];
  mm: number;
  rounds: number;
  exited: boolean;
}

/** One thread of control. */
interface Actor {
  readonly name: string;
  /** Whether it is on a CPU. */
  readonly runs: () => boolean;
  /** Whether it may begin something; what it begins; undefined: it has nothing more to do. */
  readonly begins: () => boolean;
  readonly next: () => Operation<unknown> | undefined;
  operation: Operation<unknown> | undefined;
  step: Step | undefined;
  a: number;
  b: number;
  /** Interrupts off somewhere, or a write begun: not to be preempted. */
  noPreempt: number;
  finished: boolean;
}

const PAGES_PER_RING = 3;
const STEP_LIMIT = 60_000;

export class World {
  readonly state: WatchedState;
  readonly machine: MemoryMachine;
  readonly pinning: Pinning;
  readonly account = new Account();
  readonly random: Prng;
  readonly #options: WorldOptions;
  readonly #actors: Actor[] = [];
  readonly #taskActors = new Map<number, Actor>();
  readonly #tasks: Task[] = [];
  readonly #current: (Task | undefined)[];
  readonly #switching: boolean[];
  /** Steps the CPU's task may still take before a switch: sometimes a few, sometimes enough for its works. */
  readonly #quantum: number[];
  readonly #alive = new Set<number>();
  readonly #retired = new Set<number>();
  readonly #started = new Set<number>();
  readonly #inSwitch = new Map<number, number>();
  /** npin minus slots: what lies between the two steps of a change. */
  readonly #underway = new Map<number, number>();
  readonly #working = new Set<number>();
  #mms = 0;
  steps = 0;
  readonly performed = new Set<string>();

  constructor(options: WorldOptions) {
    this.#options = options;
    const { cpus, slotsPerCpu, seed } = options;
    this.random = new Prng(seed);
    const geometry = { cpus, slotsPerCpu, pagesPerRing: PAGES_PER_RING, maxEvents: 16, account: this.account };
    this.state = new WatchedState(geometry);
    this.machine = new MemoryMachine({
      pagesPerRing: PAGES_PER_RING,
      pagesPerCall: this.random.oneIn(2) ? 1 : PAGES_PER_RING,
      fails: (_call: Failing) => options.failOneIn > 0 && this.random.oneIn(options.failOneIn),
    });
    this.machine.auxByDefault = options.aux;
    this.pinning = new Pinning(this.machine, geometry, this.state);
    this.#current = Array(cpus).fill(undefined);
    this.#switching = Array(cpus).fill(false);
    this.#quantum = Array(cpus).fill(0);
    for (let id = 1; id <= options.tasks; id++) this.#addTask(id);
    for (let cpu = 0; cpu < cpus; cpu++) this.#addCpu(cpu);
    if (options.others) this.#addOthers();
  }

  /** Runs the schedule to its end. Throws a `Violation` at the first broken invariant. */
  run(): void {
    for (;;) {
      const ready = this.#actors.filter((actor) => this.#isEnabled(actor));
      if (ready.length === 0) {
        const waiting = this.#actors.filter((actor) => !actor.finished);
        if (waiting.length === 0) break;
        throw new Violation(
          'progress',
          `nobody can run: ${waiting.map((a) => `${a.name} at ${a.step?.name}`).join(', ')}`,
        );
      }
      this.#advance(this.random.pick(ready));
      if (++this.steps > STEP_LIMIT) throw new Violation('progress', 'the schedule does not end');
    }
    this.#checkEnd();
  }

  #isEnabled(actor: Actor): boolean {
    if (actor.finished || !actor.runs()) return false;
    if (!actor.step) return actor.begins();
    if (actor.step.name === this.#options.mutant?.step) return true;
    return actor.step.isEnabled(actor.a, actor.b);
  }

  /** Begins an operation, or performs the actor's next step. */
  #advance(actor: Actor): void {
    if (!actor.operation) {
      actor.operation = actor.next();
      if (actor.operation) this.#receive(actor, actor.operation.next(0));
      else actor.finished = true;
      return;
    }
    const on = this.#current.findIndex((task) => task && this.#taskActors.get(task.id) === actor);
    if (on >= 0) this.#quantum[on]!--;
    const step = actor.step!;
    const result = this.#perform(actor, step, actor.a, actor.b);
    this.#receive(actor, actor.operation.next(result));
    for (const event of this.#alive) this.#checkEvent(event);
    this.#checkAll();
  }

  #receive(actor: Actor, next: IteratorResult<Step, unknown>): void {
    if (next.done === true) {
      actor.operation = undefined;
      actor.step = undefined;
      return;
    }
    actor.step = next.value;
    actor.a = next.value.a;
    actor.b = next.value.b;
  }

  #perform(actor: Actor, step: Step, a: number, b: number): number {
    const { mutant } = this.#options;
    this.performed.add(step.name);
    if (step.name === 'pmu.start') this.#checkStart(actor, a);
    if (step.name === 'event.release') this.#checkRelease(a);
    this.state.watch();
    let result: number;
    try {
      result = mutant?.step === step.name ? mutant.perform(this, step, a, b) : step.perform(a, b);
    } catch (error) {
      throw error;
    }
    this.state.watching = false;
    if (mutant?.step !== step.name) this.#checkDeclared(step);
    this.#follow(actor, step, a, result);
    return result;
  }

  /** Bookkeeping of what the protocol does not store. */
  #follow(actor: Actor, step: Step, a: number, result: number): void {
    const underway = (event: number, change: number) =>
      this.#underway.set(event, (this.#underway.get(event) ?? 0) + change);
    switch (step.name) {
      case 'irq.off':
      case 'write.enter':
        actor.noPreempt++;
        break;
      case 'irq.on':
      case 'write.leave':
        actor.noPreempt--;
        break;
      case 'slot.evict':
      case 'slot.take':
        if (result >= 0) underway(result, 1);
        break;
      case 'slot.remove':
        if (result !== 0) underway(a, 1);
        break;
      case 'slot.insert':
        underway(a, -1);
        break;
      case 'npin.raise':
        underway(a, 1);
        break;
      case 'npin.lower':
        underway(a, -1);
        break;
      case 'pmu.start':
        this.#started.add(a);
        break;
      case 'event.release':
        this.machine.forget(a);
        this.#alive.delete(a);
        this.#retired.delete(a);
        break;
    }
  }

  // The actors.

  #addTask(id: number): void {
    const { pinning } = this;
    const task: Task = { id, events: [], mm: 0, rounds: this.#options.rounds, exited: false };
    this.#tasks.push(task);
    this.machine.task(id).cpu = -1;
    if (this.#options.inject) this.machine.task(id).mm = ++this.#mms;
    for (let i = 0; i < this.#options.eventsPerTask; i++) {
      const pages = 1 + this.random.below(PAGES_PER_RING);
      const [parent] = this.#alive;
      const event =
        parent === undefined ? pinning.create({ task: id, pages }) : pinning.inherit(parent, { task: id, pages });
      if (event === 'unrecorded') throw new Error('the table is large enough');
      task.events.push(event);
      this.#alive.add(event);
    }
    const runs = () =>
      task.exited ||
      (!this.#switching[this.machine.task(id).cpu]! && this.#current[this.machine.task(id).cpu] === task);
    this.#taskActors.set(
      id,
      this.#addActor(
        `task ${id}`,
        runs,
        () => true,
        () => this.#taskNext(task),
      ),
    );
  }

  /** Works first, as on every return to user mode; then something a program does. */
  #taskNext(task: Task): Operation<unknown> | undefined {
    const { pinning, machine, random } = this;
    if (task.exited) return undefined;
    if (machine.works.pending(task.id).length > 0) return this.#works(task);
    if (task.rounds-- <= 0) return this.#exit(task);
    const event = task.events.length > 0 ? random.pick(task.events) : -1;
    if (event < 0) return this.#idle();
    const choice = random.below(6);
    if (choice === 0) return this.#using(event, pinning.updateUserPage(event));
    if (choice === 1 && !this.#options.aux) return this.#using(event, pinning.grow(event, PAGES_PER_RING));
    if (choice === 2 && this.#options.inject) {
      machine.exec(task.id, ++this.#mms);
      return this.#idle();
    }
    if (choice === 3) return this.#idle();
    return this.#using(event, this.#write(event));
  }

  *#works(task: Task): Operation<void> {
    this.#working.add(task.id);
    yield* this.pinning.taskWorkRun(task.id);
    this.#working.delete(task.id);
  }

  *#idle(): Operation<void> {
    yield new Step('idle', [], [], () => 0).at(-1);
  }

  *#write(event: number): Operation<void> {
    if (!(yield* this.pinning.beginWriting(event))) return;
    const store = (): number => {
      this.machine.checkStore(event, this.pinning.extent(event));
      return 0;
    };
    // Sometimes many stores: a drain may come from elsewhere and has time to pass a writer that it does not wait for.
    const stores = this.random.oneIn(3) ? 30 : 2;
    for (let i = 0; i < stores; i++)
      yield new Step('store', ['machine.pages', 'event.extent'], ['machine.ring'], store).at(event);
    yield* this.pinning.endWriting(event);
  }

  *#exit(task: Task): Operation<void> {
    const { pinning, machine } = this;
    this.#working.add(task.id);
    machine.task(task.id).exiting = true;
    yield* pinning.taskWorkRun(task.id);
    for (;;) {
      const event = task.events.find((e) => !this.#inSwitch.get(e));
      if (event === undefined) break;
      task.events.splice(task.events.indexOf(event), 1);
      yield* this.#end(event, EventState.exit);
    }
    yield* pinning.taskWorkRun(task.id);
    task.exited = true;
  }

  /** EXIT or DEAD, retire, drop the owner's reference. */
  *#end(event: number, to: EventState): Operation<void> {
    yield* this.pinning.schedOut(event, to);
    yield* this.pinning.retire(event);
    this.#retired.add(event);
    yield* this.pinning.freeing(event);
  }

  /** Removal of an event that may be running, and keeps running until its sched-out. */
  *#remove(event: number): Operation<void> {
    yield* this.pinning.retire(event);
    this.#retired.add(event);
    yield* this.#end(event, EventState.dead);
  }

  /** Whoever works on an event holds a reference on it meanwhile. */
  *#using(event: number, operation: Operation<unknown>): Operation<void> {
    this.state.add(event, EventWord.refs, 1);
    yield* operation;
    yield* this.pinning.freeing(event);
  }

  #addCpu(cpu: number): void {
    const begins = () => {
      const task = this.#current[cpu];
      if (this.state.cpuGet(cpu, CpuWord.irq) !== 0) return false;
      if (task === undefined) return true;
      const actor = this.#taskActors.get(task.id)!;
      return actor.noPreempt === 0 && (this.#quantum[cpu]! <= 0 || !this.#isEnabled(actor));
    };
    let offline = false;
    this.#addActor(
      `cpu ${cpu}`,
      () => true,
      begins,
      () => {
        if (!this.#tasks.every((task) => task.exited)) return this.#switchTask(cpu);
        if (offline) return undefined;
        offline = true;
        return this.pinning.cpuOffline(cpu);
      },
    );
  }

  *#switchTask(cpu: number): Operation<void> {
    const previous = this.#current[cpu];
    this.#switching[cpu] = true;
    for (const event of [...(previous?.events ?? [])]) yield* this.#inSwitchOf(event, this.pinning.schedOut(event));
    this.#current[cpu] = undefined;
    if (previous) this.machine.task(previous.id).cpu = -1;
    const waiting = this.#tasks.filter((task) => !task.exited && this.machine.task(task.id).cpu < 0);
    const next = waiting.length > 0 && !this.random.oneIn(8) ? this.random.pick(waiting) : undefined;
    if (next) {
      this.machine.task(next.id).cpu = cpu;
      const events = [...next.events];
      if (this.random.oneIn(2)) events.reverse();
      for (const event of events) {
        if (!next.events.includes(event)) continue;
        this.machine.failed.delete(event);
        yield* this.#inSwitchOf(event, this.pinning.schedIn(event, cpu));
      }
    } else yield* this.#idle();
    this.#current[cpu] = next;
    this.#quantum[cpu] = this.random.oneIn(2) ? this.random.below(10) : 60 + this.random.below(120);
    this.#switching[cpu] = false;
  }

  *#inSwitchOf(event: number, operation: Operation<unknown>): Operation<void> {
    const task = this.#tasks.find((t) => t.events.includes(event));
    if (!task) return;
    this.#inSwitch.set(event, 1);
    yield* operation;
    this.#inSwitch.delete(event);
  }

  #addOthers(): void {
    const { random, pinning, machine } = this;
    const anyEvent = () => {
      const events = this.#tasks.flatMap((task) => task.events.filter((e) => !this.#inSwitch.get(e)));
      return events.length > 0 ? random.pick(events) : -1;
    };
    const always = () => true;
    let removals = random.below(2);
    this.#addActor(
      'remover',
      always,
      () => random.oneIn(40) || this.#over(),
      () => {
        const event = anyEvent();
        if (event < 0 || removals-- <= 0) return undefined;
        const { events } = this.#tasks.find((task) => task.events.includes(event))!;
        events.splice(events.indexOf(event), 1);
        return random.oneIn(2) ? this.#end(event, EventState.dead) : this.#remove(event);
      },
    );
    let restarts = 3;
    this.#addActor('filter', always, always, () => {
      const event = anyEvent();
      return event < 0 || restarts-- <= 0 ? undefined : this.#using(event, pinning.restart(event));
    });
    let dumps = random.oneIn(4) ? 1 : 0;
    this.#addActor(
      'dump',
      always,
      () => random.oneIn(40) || this.#over(),
      () => {
        const event = anyEvent();
        return event < 0 || dumps-- <= 0 ? undefined : this.#using(event, pinning.stopAll([event]));
      },
    );
    let reclaims = 40;
    const reclaim = () => {
      for (const event of this.#alive) machine.reclaim(event, random.below(PAGES_PER_RING));
      return 0;
    };
    this.#addActor(
      'reclaim',
      always,
      () => random.oneIn(20) || this.#over(),
      () => (reclaims-- <= 0 ? undefined : one(new Step('reclaim', [], ['machine.pages'], reclaim))),
    );
  }

  #over(): boolean {
    return this.#tasks.every((task) => task.exited);
  }

  #addActor(name: string, runs: Actor['runs'], begins: Actor['begins'], next: Actor['next']): Actor {
    const idle = { operation: undefined, step: undefined, a: -1, b: -1, noPreempt: 0, finished: false };
    const actor: Actor = { name, runs, begins, next, ...idle };
    this.#actors.push(actor);
    return actor;
  }

  // The invariants.

  #checkDeclared(step: Step): void {
    for (const location of this.state.reads)
      expectInvariant(
        step.reads.includes(location) || step.writes.includes(location),
        'declaration',
        `${step.name} reads ${location}`,
      );
    for (const location of this.state.writes)
      expectInvariant(step.writes.includes(location), 'declaration', `${step.name} writes ${location}`);
  }

  #checkStart(actor: Actor, event: number): void {
    const { state } = this;
    expectInvariant(state.get(event, EventWord.ready) === 1, 'I6', `event ${event} starts without a completed pin`);
    const fromWork = this.#tasks.some((task) => this.#taskActors.get(task.id) === actor && this.#working.has(task.id));
    expectInvariant(
      fromWork || this.#started.has(event),
      'I6',
      `the first start of event ${event} is not a task work's`,
    );
  }

  #checkRelease(event: number): void {
    for (let cpu = 0; cpu < this.state.cpus; cpu++)
      expectInvariant(
        !this.state.list(cpu).includes(event),
        'I8',
        `a slot of CPU ${cpu} names the freed event ${event}`,
      );
    for (const task of this.#tasks)
      expectInvariant(
        !this.machine.works.pending(task.id).includes(event),
        'I8',
        `a work of the freed event ${event} waits`,
      );
    this.#started.delete(event);
  }

  #checkEvent(event: number): void {
    const { state, machine } = this;
    this.machine.checkHardware(event);
    let slots = 0;
    for (let cpu = 0; cpu < state.cpus; cpu++) slots += state.list(cpu).filter((e) => e === event).length;
    const npin = state.get(event, EventWord.npin);
    const underway = this.#underway.get(event) ?? 0;
    expectInvariant(
      npin === slots + underway,
      'I3',
      `event ${event}: npin ${npin}, ${slots} slots, ${underway} underway`,
    );
    const nin = state.get(event, EventWord.nin);
    const open = state.get(event, EventWord.gate) === Gate.open;
    expectInvariant(
      !open || nin >= state.get(event, EventWord.extent),
      'I2',
      `event ${event}: the gate is open on ${nin} pages`,
    );
    for (const [page, references] of machine.ring(event).references.entries())
      expectInvariant(
        references === (page < nin ? 1 : 0),
        'I5',
        `event ${event}: page ${page} has ${references} references`,
      );
    if (this.#retired.has(event))
      expectInvariant(
        nin === 0 && slots === 0,
        'I9',
        `event ${event} is retired and ${nin > 0 ? 'pinned' : 'in a slot'}`,
      );
    const mm = state.get(event, EventWord.mm);
    const held = [...machine.mmReferences].filter(([key, n]) => key.startsWith(`${event}:`) && n > 0).length;
    expectInvariant(
      held >= (mm > 0 ? 1 : 0) && held <= 2,
      'I11',
      `event ${event} holds ${held} address spaces, names ${mm}`,
    );
  }

  #checkAll(): void {
    const { state } = this;
    let pinned = 0;
    let pages = 0;
    let unnamed = 0;
    for (const event of this.#alive) {
      const nin = state.get(event, EventWord.nin);
      if (nin === 0) continue;
      pinned++;
      pages += nin;
      let named = false;
      for (let cpu = 0; cpu < state.cpus; cpu++) named ||= state.list(cpu).includes(event);
      if (!named) unnamed++;
    }
    let removers = 0;
    for (let cpu = 0; cpu < state.cpus; cpu++) removers += state.cpuGet(cpu, CpuWord.lock);
    expectInvariant(pinned <= state.cpus * state.slotsPerCpu, 'I4', `${pinned} events are pinned`);
    expectInvariant(
      unnamed <= removers,
      'I4',
      `${unnamed} events are pinned that no slot names, ${removers} lists are locked`,
    );
    expectInvariant(
      pages === state.recorderGet(RecorderWord.pinned),
      'I5',
      `${pages} pages are pinned, counted otherwise`,
    );
    expectInvariant(
      pages <= this.account.chargedPages,
      'I12',
      `${pages} pages are pinned, ${this.account.chargedPages} charged`,
    );
    for (const [cpu, task] of this.#current.entries()) if (task && !this.#switching[cpu]!) this.#checkStarted(task);
  }

  /** I7: in user mode, works drained, every ACTIVE event runs unless something failed for it. */
  #checkStarted(task: Task): void {
    const { state, machine } = this;
    if (this.#working.has(task.id) || machine.works.pending(task.id).length > 0) return;
    for (const event of task.events) {
      if (state.get(event, EventWord.state) !== EventState.active || machine.failed.has(event)) continue;
      if (state.get(event, EventWord.dead) !== 0 || state.get(event, EventWord.gate) === Gate.held) continue;
      expectInvariant(machine.running.has(event), 'I7', `event ${event} of task ${task.id} is ACTIVE and does not run`);
    }
  }

  #checkEnd(): void {
    const { state } = this;
    const stats = this.pinning.stats();
    expectInvariant(this.#alive.size === 0 && stats.events === 0, 'I8', 'events are left at the end');
    expectInvariant(this.account.chargedPages === 0, 'I12', 'a charge is left at the end');
    expectInvariant(stats.pinnedPages.now === 0, 'I5', 'pages are left at the end');
    for (let cpu = 0; cpu < state.cpus; cpu++) {
      expectInvariant(state.list(cpu).length === 0, 'I8', 'slots are left at the end');
      expectInvariant(state.cpuGet(cpu, CpuWord.active) === 0, 'I7', 'active events are left at the end');
    }
  }
}

function* one(step: Step): Operation<void> {
  yield step.at(-1);
}
