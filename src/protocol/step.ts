/**
 * One step of an operation, and the driver that runs an operation to its end.
 *
 * Invariant: an operation (a generator) touches shared state only by yielding a step; its driver performs the
 * step and sends the result back. Between two steps any other actor may run, so a step is the unit of atomicity: it
 * touches at most one word that another actor may change at that moment. Words that a lock the actor holds protects
 * may be touched with it.
 *
 * A step of a kind exists once, with its operands overwritten at each yield: nothing is allocated. A driver that does
 * not perform a step at once must copy the operands `a` and `b` when it receives the step.
 */

/** What owns a location: with the operands of a step this says which instance of it the step touches. */
export const LOCATION_OWNERS = {
  'event.state': 'event',
  'event.oncpu': 'event',
  'event.task': 'event',
  'event.mx': 'event',
  'event.npin': 'event',
  'event.dead': 'event',
  'event.gate': 'event',
  'event.writers': 'event',
  'event.queued': 'event',
  'event.refs': 'event',
  'event.nin': 'event',
  'event.extent': 'event',
  'event.firstExtent': 'event',
  'event.started': 'event',
  'event.ready': 'event',
  'event.sgOk': 'event',
  'event.mm': 'event',
  'event.logged': 'event',
  'cpu.lock': 'cpu',
  'cpu.irq': 'cpu',
  'cpu.active': 'cpu',
  'cpu.list': 'cpu',
  // Words that only the posted protocol has.
  'event.life': 'event',
  'event.xpinned': 'event',
  'event.func': 'event',
  'event.attach': 'event',
  'rb.mmapCount': 'event',
  'rb.auxMmapCount': 'event',
  'rb.pagesIn': 'event',
  'rb.paused': 'event',
  'rb.address': 'event',
  'rb.mm': 'event',
  'rb.auxNest': 'event',
  'rb.auxRefcount': 'event',
  'cpu.slot': 'cpu',
  'recorder.account': 'recorder',
  'recorder.records': 'recorder',
  'recorder.pinned': 'recorder',
  'machine.pages': 'event',
  'machine.stored': 'event',
  'machine.sg': 'event',
  'machine.pmu': 'event',
  'machine.userPage': 'event',
  'machine.ring': 'event',
  'machine.mapping': 'event',
  'machine.cpu': 'task',
  'machine.mm': 'task',
  'machine.exiting': 'task',
  'machine.works': 'task',
  // What only a machine with a scheduler has.
  'cpu.current': 'cpu',
  'cpu.queue': 'cpu',
  'mm.life': 'mm',
  'mm.maps': 'mm',
} as const;

/** A named piece of shared state. */
export type Location = keyof typeof LOCATION_OWNERS;

/** What a step does: performs it and returns a number (a truth value, an index, a count or a negative errno). */
export type Effect = (a: number, b: number) => number;

/**
 * What a step means to a machine that schedules its actor, beyond what it reads and writes. `a` is the event. A live
 * driver looks at none of it.
 */
export interface StepTraits {
  /** Whether it may be performed now; absent: always. A step that is not enabled blocks its actor. */
  readonly enabled?: (a: number, b: number) => boolean;
  /** Its actor spins with preemption off while it waits. */
  readonly spins?: true;
  /** `off`: interrupts or preemption are off after it, unless its result is 0. `on`: ends what an `off` began. */
  readonly preemption?: 'off' | 'on';
  /** A cross-call into the context of the event's task: it waits while a CPU switches that task. */
  readonly crossCall?: true;
  /** Takes the event out of its task's context; `freed`: the event's memory goes too. */
  readonly leavesContext?: 'removed' | 'freed';
  /**
   * Finds out whether the event still exists, or compares its number only. Any other step must not touch a freed
   * event.
   */
  readonly looksUp?: true;
  /** May start the event's PMU. */
  readonly startsPmu?: true;
  /** The page of the event's ring that it gets. Getting a page that is out may sleep. */
  readonly getsPage?: (a: number, b: number) => number;
  /** Waits for a state of the environment that need not come: an actor that ends there is not stuck. */
  readonly environment?: true;
}

/** A kind of step with the operands of its latest announcement. */
export class Step {
  /** As in docs/PROTOCOL.md. */
  readonly name: string;
  readonly reads: readonly Location[];
  readonly writes: readonly Location[];
  readonly perform: Effect;
  readonly traits: StepTraits;
  /** The event, or -1. */
  a = -1;
  /** The CPU, or what the step's own comment says, or -1. */
  b = -1;

  constructor(
    name: string,
    reads: readonly Location[],
    writes: readonly Location[],
    perform: Effect,
    traits: StepTraits = {},
  ) {
    this.name = name;
    this.reads = reads;
    this.writes = writes;
    this.perform = perform;
    this.traits = traits;
  }

  /** Announces this step on these operands: `const result = yield step.at(event, cpu)`. */
  at(a: number, b = -1): this {
    this.a = a;
    this.b = b;
    return this;
  }

  /** Whether it may be performed now on these operands. */
  isEnabled(a: number, b: number): boolean {
    return this.traits.enabled?.(a, b) ?? true;
  }
}

/** An operation of the protocol: yields steps, is sent the result of each, returns `R`. */
export type Operation<R> = Generator<Step, R, number>;

/**
 * Runs an operation to its end with nothing in between: the live driver. A step that would block is a bug there (no
 * other actor is running that could unblock it); its effect asserts that.
 */
export function runToEnd<R>(operation: Operation<R>): R {
  let next = operation.next(0);
  while (next.done !== true) {
    const step = next.value;
    next = operation.next(step.perform(step.a, step.b));
  }
  return next.value;
}

/**
 * The instances of `locations` that a step touches with these operands, as `event.gate[3]`: two steps depend on each
 * other when they share one and one of them writes it. `taskOf`: the task of an event.
 */
export function locate(
  locations: readonly Location[],
  a: number,
  b: number,
  taskOf: (event: number) => number,
): readonly string[] {
  return locations.map((location) => {
    const owner = LOCATION_OWNERS[location];
    if (owner === 'recorder') return location;
    if (owner === 'task') return `${location}[${a >= 0 ? taskOf(a) : b}]`;
    return `${location}[${owner === 'event' ? a : b}]`; // A CPU or an mm is operand b.
  });
}
