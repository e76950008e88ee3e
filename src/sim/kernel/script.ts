/**
 * The scripts of tasks and other actors as operations, line by line: each access to shared state is a step.
 *
 * Invariant: a task is in user mode only when none of its works waits.
 */
import type { Operation, Step } from '../../protocol/step.ts';
import type { Variant } from '../../protocol/variant.ts';
import type { Kernel } from './kernel.ts';
import { MachineStep } from './machine-step.ts';
import type { Action } from './setup.ts';
import type { Scheduled, Stage } from './stage.ts';

export class Scripts {
  readonly #stage: Stage;
  readonly #kernel: Kernel;
  readonly #variant: Variant;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#kernel = stage.kernel;
    this.#variant = stage.variant;
  }

  /** A task's life: returns to user mode before each line of its script, and ends in user mode, or by exit. */
  *live(id: number, script: readonly Action[]): Operation<void> {
    for (const action of script) {
      yield* this.#returnToUser(id);
      yield* this.#act(id, action);
    }
    if (script.at(-1)?.verb !== 'exit') yield* this.#runUser(id);
  }

  /** task_work_run, as long as there are works. */
  *#returnToUser(id: number): Operation<void> {
    const { info } = this.#stage.tasks.get(id)!;
    const check = new MachineStep(
      'user.return',
      () => ({ reads: [`machine.works[${id}]`], writes: [] }),
      () => info.works.length,
    );
    while ((yield check) > 0) yield* this.#variant.taskWorkRun(id);
  }

  /** User mode: nothing of it happens while a work waits. */
  *#runUser(id: number): Operation<void> {
    const task = this.#stage.tasks.get(id)!;
    const run = new MachineStep(
      'user.run',
      () => {
        const own = (names: readonly string[]) =>
          task.events.flatMap((event) => names.map((name) => `${name}[${event}]`));
        return {
          reads: [
            `machine.works[${id}]`,
            `context[${id}]`,
            ...own(['event.state', 'event.oncpu', 'machine.pmu', 'machine.sg', 'event.func', 'event.queued']),
          ],
          writes: own(['machine.pages', 'machine.ring']),
        };
      },
      () => {
        if (task.info.works.length > 0) return 0;
        for (const event of task.events) if (!this.#variant.observed.isGone(event)) this.#kernel.runHardware(event);
        this.#stage.observers.checkUserMode(id, task.info.cpu, task.events);
        return 1;
      },
    );
    while ((yield run) === 0) yield* this.#returnToUser(id);
  }

  *#act(id: number, action: Action): Operation<void> {
    const task = this.#stage.tasks.get(id)!;
    if (this.#stage.unrecorded.has(action.name)) return;
    switch (action.verb) {
      case 'run':
        yield* this.#runUser(id);
        break;
      case 'sleep':
        yield* this.#giveUpCpu(task);
        break;
      case 'exec':
        yield this.#own('exec.mm', id, () => this.#kernel.exec(id));
        break;
      case 'exit':
        yield* this.#exit(id);
        break;
      case 'fork':
      case 'clone':
        yield* this.#fork(id, action);
        break;
      case 'munmap':
        yield this.#own('user.munmap', id, () => this.#kernel.replaceMapping(id, this.#stage.event(action.name)));
        break;
      case 'mprotect':
        yield this.#own('user.mprotect', id, () => this.#kernel.writeMapping(id, this.#stage.event(action.name)));
        break;
      case 'dump':
        yield* this.#variant.beforeDump(task.events);
        yield this.#dump(id);
        break;
      default:
        yield* this.#actOnEvent(action, task.info.mm?.id ?? 0);
    }
  }

  /** A step of the task on its own mm. */
  #own(name: string, id: number, effect: () => void): Step {
    const { info } = this.#stage.tasks.get(id)!;
    return new MachineStep(
      name,
      () => {
        const mm = `mm.maps[${info.mm?.id ?? 0}]`;
        return { reads: [mm, `context[${id}]`], writes: [mm, `machine.mm[${id}]`, ...this.#mappingInstances(id)] };
      },
      () => {
        effect();
        return 0;
      },
    );
  }

  #mappingInstances(id: number): string[] {
    return this.#stage.tasks.get(id)!.events.map((event) => `machine.mapping[${event}]`);
  }

  *#giveUpCpu(task: Scheduled): Operation<void> {
    yield new MachineStep(
      'task.sleep',
      () => ({ reads: [], writes: [`cpu.current[${task.info.cpu}]`] }),
      () => {
        task.actor.yields = true;
        return 0;
      },
    );
  }

  /** do_exit: the flag, exit_mm, the last works, then the events. */
  *#exit(id: number): Operation<void> {
    const task = this.#stage.tasks.get(id)!;
    const { info } = task;
    yield new MachineStep(
      'exit.flag',
      () => ({ reads: [], writes: [`machine.exiting[${id}]`] }),
      () => {
        info.exiting = true;
        return 0;
      },
    );
    yield this.#own('exit.mm', id, () => this.#kernel.exitMm(id));
    const close = new MachineStep(
      'exit.close-works',
      () => ({ reads: [`machine.works[${id}]`, `context[${id}]`], writes: [`machine.works[${id}]`] }),
      () => {
        if (info.works.length === 0) this.#kernel.closeWorks(id);
        return info.works.length;
      },
    );
    while ((yield close) > 0) yield* this.#variant.taskWorkRun(id);
    yield* this.#variant.exitTask(id, [...task.events]);
  }

  *#fork(id: number, { verb, name }: Action): Operation<void> {
    const parent = this.#stage.tasks.get(id)!;
    const index = this.#stage.setup.tasks.findIndex((task) => task.name === name);
    const child = this.#stage.tasks.get(index + 1)!;
    const names = this.#stage.setup.tasks[index]!.events ?? [];
    yield this.#own('fork.mm', id, () => {
      child.info.mm = verb === 'fork' ? this.#kernel.forkMm(id) : parent.info.mm;
      if (verb === 'clone') parent.info.mm!.users++;
    });
    for (const [at, event] of [...parent.events].entries()) {
      const inherited = yield* this.#variant.inherit(event, index + 1);
      if (inherited < 0) continue;
      this.#stage.events.set(names[at] ?? `${name}${at}`, inherited);
      child.events.push(inherited);
    }
    for (const event of names) if (!this.#stage.events.has(event)) this.#stage.unrecorded.add(event);
    yield new MachineStep(
      'fork.wake',
      () => ({ reads: [], writes: [`cpu.queue[${child.info.cpu}]`] }),
      () => {
        child.isBorn = true;
        this.#stage.cpus[child.info.cpu]!.queue.push(index + 1);
        return 0;
      },
    );
  }

  /** The core is written: aux_head as the user page has it. */
  #dump(id: number): Step {
    const { events } = this.#stage.tasks.get(id)!;
    return new MachineStep(
      'core.dump',
      () => ({ reads: events.flatMap((event) => [`machine.pmu[${event}]`, `machine.userPage[${event}]`]), writes: [] }),
      () => {
        for (const event of events) {
          if (this.#variant.observed.isGone(event) || this.#kernel.pmuCpu(event) < 0) continue;
          this.#kernel.report(
            'I10',
            `event ${event} is still on while its ring is dumped: aux_head in the core is stale`,
          );
        }
        return 0;
      },
    );
  }

  /** An actor with a descriptor of each event that its script uses, on no CPU of the set-up. */
  *beside(script: readonly Action[]): Operation<void> {
    for (const action of script) yield* this.#actOnEvent(action, 0);
  }

  *#actOnEvent({ verb, name, number }: Action, mm: number): Operation<void> {
    const variant = this.#variant;
    switch (verb) {
      case 'write':
        yield* variant.write(this.#stage.event(name));
        break;
      case 'user-page':
        yield* variant.updateUserPage(this.#stage.event(name));
        break;
      case 'restart':
        yield* this.#using(this.#stage.event(name), mm, variant.restart(this.#stage.event(name)));
        break;
      case 'disable':
        yield* this.#using(this.#stage.event(name), mm, variant.disable(this.#stage.event(name)));
        break;
      case 'remove':
        yield* variant.remove(this.#stage.event(name), mm);
        break;
      case 'turn':
        yield* this.#turn(this.#stage.event(name), number);
        break;
      case 'grow':
        yield* this.#using(this.#stage.event(name), mm, variant.grow(this.#stage.event(name), number));
        break;
      case 'reclaim':
        yield this.#reclaim(this.#stage.event(name), number);
        break;
      case 'migrate':
        yield this.#migrate(name, number);
        break;
      case 'offline':
        yield* this.#offline(number);
        break;
    }
  }

  /** A reference for the time of the operation, if the event still exists. */
  *#using(event: number, mm: number, operation: Operation<unknown>): Operation<void> {
    if (this.#variant.observed.isGone(event) || !(yield* this.#variant.reference(event))) return;
    yield* operation;
    yield* this.#variant.release(event, mm);
  }

  /** What the live recorder does with a thread's records from a CPU: nothing but the touch where the ring is pinned. */
  *#turn(event: number, cpu: number): Operation<void> {
    const task = this.#variant.observed.task(event);
    const instances = [`machine.cpu[${task}]`, `cpu.list[${cpu}]`, `cpu.lock[${cpu}]`, `event.gate[${event}]`];
    const touch = new MachineStep(
      'recorder.touch',
      () => ({ reads: instances, writes: instances }),
      () => {
        this.#kernel.tasks.get(task)!.cpu = cpu;
        return this.#variant.touch(event, cpu) ? 1 : 0;
      },
    );
    const isPinned = (yield touch) > 0;
    if (!isPinned) {
      yield* this.#variant.schedIn(event, cpu);
      yield* this.#variant.taskWorkRun(task);
    }
    yield* this.#variant.grow(event, this.#kernel.ring(event).pages);
    yield* this.#variant.write(event);
    if (!isPinned) yield* this.#variant.schedOut(event);
  }

  #reclaim(event: number, page: number): Step {
    const pages = `machine.pages[${event}]`;
    return new MachineStep(
      'reclaim.page',
      () => ({ reads: [pages], writes: [pages] }),
      () => (this.#kernel.hasRing(event) && this.#kernel.ring(event).reclaim(page) ? 1 : 0),
    );
  }

  /** Load balancing: a task that waits goes to another CPU's queue. */
  #migrate(name: string, to: number): Step {
    const id = this.#stage.setup.tasks.findIndex((task) => task.name === name) + 1;
    const { info } = this.#stage.tasks.get(id)!;
    const isWaiting = () => {
      const { queue, switching } = this.#stage.cpus[info.cpu]!;
      return queue.includes(id) && switching === undefined;
    };
    return new MachineStep(
      'task.migrate',
      () => ({
        reads: [`cpu.current[${info.cpu}]`, `cpu.queue[${info.cpu}]`],
        writes: [`cpu.queue[${info.cpu}]`, `cpu.queue[${to}]`, `machine.cpu[${id}]`],
      }),
      () => {
        const { queue } = this.#stage.cpus[info.cpu]!;
        queue.splice(queue.indexOf(id), 1);
        info.cpu = to;
        this.#stage.cpus[to]!.queue.push(id);
        return 0;
      },
      { enabled: isWaiting, environment: true },
    );
  }

  /** The CPU goes once nothing runs or waits there; then its slots are looked after. */
  *#offline(cpu: number): Operation<void> {
    const isIdle = () => {
      const { current, queue, switching } = this.#stage.cpus[cpu]!;
      return current === 0 && queue.length === 0 && switching === undefined;
    };
    yield new MachineStep(
      'cpu.offline',
      () => ({ reads: [`cpu.queue[${cpu}]`, `cpu.current[${cpu}]`], writes: [`cpu.current[${cpu}]`] }),
      () => {
        this.#stage.cpus[cpu]!.isOnline = false;
        return 0;
      },
      {
        enabled: isIdle,
        environment: true,
      },
    );
    yield* this.#variant.cpuOffline(cpu);
    yield new MachineStep(
      'cpu.dead',
      () => ({ reads: [`cpu.list[${cpu}]`, `cpu.slot[${cpu}]`], writes: [] }),
      () => {
        for (const event of this.#variant.observed.slots(cpu))
          this.#kernel.report('I9', `CPU ${cpu} is gone and event ${event} stays pinned on its account`);
        return 0;
      },
    );
  }
}
