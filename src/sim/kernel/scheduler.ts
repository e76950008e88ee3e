/**
 * The schedulers of the CPUs, and which actors may step. The rules of interleaving are the kernel's:
 *  - a task steps only while it is its CPU's current one, and not while that CPU switches;
 *  - a CPU must leave a task that blocks, sleeps or has ended; it may leave one that could go on while its
 *    preemptions last, but never one with interrupts or preemption off, or that spins for another CPU's interrupts;
 *  - the next task is the first of its queue that can run;
 *  - a cross-call to a task's event waits while a CPU is switching that task.
 *
 * Invariant: a task is the current one of at most one CPU, or in one queue, or asleep between the two steps of a
 * switch.
 */
import { locate, type Operation, type Step } from '../../protocol/step.ts';
import { MachineStep, type Touched } from './machine-step.ts';
import type { Actor, Stage } from './stage.ts';

export class Scheduler {
  readonly #stage: Stage;
  /** Steps, by name, that a mutant replaces: they never block. */
  readonly #replaced: ReadonlySet<string>;

  constructor(stage: Stage, replaced: ReadonlySet<string>) {
    this.#stage = stage;
    this.#replaced = replaced;
  }

  isEnabled(actor: Actor): boolean {
    const { step } = actor;
    if (!step) return false;
    if (actor.kind === 'task' && (!this.#isOnCpu(actor) || actor.yields)) return false;
    return this.#isStepEnabled(step, actor.a, actor.b);
  }

  /** The instances that a step touches, with those that decide whether its actor may step and what it does next. */
  touched(actor: Actor, step: Step, a: number, b: number): Touched {
    const { reads, writes } = this.#ownTouched(step, a, b);
    return {
      reads: [...reads, ...this.#schedulingReads(actor, step, a)],
      writes: [...writes, ...this.#schedulingWrites(step, a)],
    };
  }

  /** A CPU's switches, one after the other, for ever. */
  *schedule(cpu: number): Operation<void> {
    const { variant, kernel, tasks } = this.#stage;
    const state = this.#stage.cpus[cpu]!;
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
      { enabled: () => this.#maySwitch(cpu) },
    );
    const end = new MachineStep('cpu.switched', touched, () => this.#endSwitch(cpu));
    for (;;) {
      yield begin;
      const [previous, next] = state.switching!;
      for (const event of tasks.get(previous)?.events ?? []) yield* variant.schedOut(event);
      for (const event of this.#rotated(next)) {
        kernel.forgiveFailure(event);
        yield* variant.schedIn(event, cpu);
      }
      yield end;
    }
  }

  #isOnCpu(actor: Actor): boolean {
    const task = this.#stage.tasks.get(actor.number)!;
    const cpu = this.#stage.cpus[task.info.cpu]!;
    return task.isBorn && cpu.switching === undefined && cpu.current === actor.number;
  }

  #isStepEnabled(step: Step, a: number, b: number): boolean {
    if (step.traits.crossCall && this.#isSwitching(a)) return false;
    return this.#replaced.has(step.name) || step.isEnabled(a, b);
  }

  /** Whether a CPU is in the middle of switching the event's task in or out. */
  #isSwitching(event: number): boolean {
    const task = this.#stage.variant.observed.task(event);
    return this.#stage.cpus.some(({ switching }) => switching?.includes(task) ?? false);
  }

  /** Whether the actor could perform its next step if it had the CPU. */
  #couldGoOn(actor: Actor): boolean {
    return actor.step !== undefined && !actor.yields && this.#isStepEnabled(actor.step, actor.a, actor.b);
  }

  /** Whether the CPU's scheduler may begin a switch. */
  #maySwitch(cpu: number): boolean {
    const { current, switching, preemptions, isOnline } = this.#stage.cpus[cpu]!;
    if (switching !== undefined || !isOnline) return false;
    if (current === 0) return this.#nextOf(cpu) > 0;
    const { actor } = this.#stage.tasks.get(current)!;
    if (actor.finished) return true;
    if (actor.atomic > 0 || actor.step!.traits.spins) return false;
    return !this.#couldGoOn(actor) || this.#maySleep(actor) || preemptions > 0;
  }

  /**
   * Whether getting a page may put the task to sleep: it is out, so memory has to be found or the swap to be read.
   * Once an attempt.
   */
  #maySleep({ step, a, b, slept }: Actor): boolean {
    const getsPage = step?.traits.getsPage;
    if (!this.#stage.setup.sleeps || slept || !getsPage) return false;
    return this.#stage.kernel.ring(a).current(getsPage(a, b)) === 0;
  }

  /** The first of the CPU's queue that can run; 0: none. */
  #nextOf(cpu: number): number {
    return (
      this.#stage.cpus[cpu]!.queue.find((id) => {
        const { actor } = this.#stage.tasks.get(id)!;
        return actor.step !== undefined && (actor.yields || this.#isStepEnabled(actor.step, actor.a, actor.b));
      }) ?? 0
    );
  }

  #beginSwitch(cpu: number): number {
    const state = this.#stage.cpus[cpu]!;
    const leaving = this.#stage.tasks.get(state.current);
    if (leaving && this.#couldGoOn(leaving.actor)) {
      if (this.#maySleep(leaving.actor)) leaving.actor.slept = true;
      else state.preemptions--;
    }
    // The leaving task queues after the choice: with no other task there the CPU idles, and another CPU may take the
    // task.
    const next = this.#nextOf(cpu);
    const previous = state.current;
    if (leaving && !leaving.actor.finished) state.queue.push(previous);
    state.switching = [previous, next];
    if (next > 0) {
      state.queue.splice(state.queue.indexOf(next), 1);
      this.#stage.tasks.get(next)!.actor.yields = false;
    }
    return next;
  }

  #endSwitch(cpu: number): number {
    const state = this.#stage.cpus[cpu]!;
    state.current = state.switching![1];
    state.switching = undefined;
    return state.current;
  }

  /** perf rotates a context's events, so that those that found no room come first the next time. */
  #rotated(id: number): readonly number[] {
    const task = this.#stage.tasks.get(id);
    if (!task) return [];
    const order = [...task.events];
    if (task.events.length > 1) task.events.push(task.events.shift()!);
    return order;
  }

  #ownTouched(step: Step, a: number, b: number): Touched {
    if (step instanceof MachineStep) return step.touched();
    const taskOf = (event: number) => this.#stage.variant.observed.task(event);
    return { reads: locate(step.reads, a, b, taskOf), writes: locate(step.writes, a, b, taskOf) };
  }

  /** What decides whether the CPU's tasks are blocked, hence whether it switches and to which. */
  #blockingReads(cpu: number): readonly string[] {
    const { current, queue } = this.#stage.cpus[cpu]!;
    return [current, ...queue].flatMap((id) => {
      const { step, a, b } = this.#stage.tasks.get(id)?.actor ?? {};
      return step?.traits.enabled ? [...this.#ownTouched(step, a!, b!).reads] : [];
    });
  }

  /** Which task is current where, and which events are in its context. */
  #schedulingReads(actor: Actor, step: Step, a: number): readonly string[] {
    const { tasks, cpus, variant } = this.#stage;
    const reads: string[] = [];
    if (actor.kind === 'task')
      reads.push(`cpu.current[${tasks.get(actor.number)!.info.cpu}]`, `machine.cpu[${actor.number}]`);
    if (actor.kind === 'cpu') {
      const { current, queue, switching } = cpus[actor.number]!;
      for (const task of switching ?? [current, ...queue]) if (task > 0) reads.push(`context[${task}]`);
    }
    if (step.traits.crossCall) {
      const task = tasks.get(variant.observed.task(a));
      if (task) reads.push(`cpu.current[${task.info.cpu}]`, `machine.cpu[${task.info.id}]`);
    }
    return reads;
  }

  /** An event that goes leaves its task's context. */
  #schedulingWrites(step: Step, a: number): readonly string[] {
    return step.traits.leavesContext ? [`context[${this.#stage.variant.observed.task(a)}]`] : [];
  }
}
