/**
 * Changes of state as columns: 14 bytes a change. Invariant: `sorted` keeps the order in which those of one record
 * were added.
 */

/** `blocked`: asleep uninterruptibly. */
export const SCHED_STATES = ['unknown', 'running', 'runnable', 'sleeping', 'blocked', 'exited'] as const;
export type SchedState = (typeof SCHED_STATES)[number];

/** A thread enters a state. */
export interface StateChange {
  /** Its index in the task table; beyond that table, the task of `unlistedTids`. */
  readonly thread: number;
  /** The record at whose time it does. */
  readonly record: number;
  readonly state: SchedState;
  /** Where it runs or ran last; null when that is not known. */
  readonly cpu: number | null;
  /** Whether the record is a switch in or out of it: not a wakeup, a loss, or what was deduced. */
  readonly isSwitch: boolean;
}

/** Whether a thread in that state is off the CPUs, as far as that is known. */
export function isOffCpu(state: SchedState): boolean {
  return state === 'runnable' || state === 'sleeping' || state === 'blocked';
}

const CODES = Object.fromEntries(SCHED_STATES.map((state, code) => [state, code])) as Record<SchedState, number>;
const FIRST_ROWS = 1024;
const NO_CPU = -1;

export class ChangeTable {
  count = 0;
  #thread = new Int32Array(FIRST_ROWS);
  #record = new Int32Array(FIRST_ROWS);
  #cpu = new Int32Array(FIRST_ROWS);
  #state = new Uint8Array(FIRST_ROWS);
  #isSwitch = new Uint8Array(FIRST_ROWS);
  #isInOrder = true;

  /** Returns the row. */
  add(thread: number, record: number, state: SchedState, cpu: number | null, isSwitch: boolean): number {
    if (this.count === this.#thread.length) this.#grow();
    const row = this.count++;
    if (row > 0 && record < this.#record[row - 1]!) this.#isInOrder = false;
    this.#thread[row] = thread;
    this.#record[row] = record;
    this.#cpu[row] = cpu ?? NO_CPU;
    this.#state[row] = CODES[state];
    this.#isSwitch[row] = isSwitch ? 1 : 0;
    return row;
  }

  setState(row: number, state: SchedState): void {
    this.#state[row] = CODES[state];
  }

  recordAt(row: number): number {
    return this.#record[row]!;
  }

  threadAt(row: number): number {
    return this.#thread[row]!;
  }

  at(row: number): StateChange {
    const cpu = this.#cpu[row]!;
    return {
      thread: this.#thread[row]!,
      record: this.#record[row]!,
      state: SCHED_STATES[this.#state[row]!]!,
      cpu: cpu === NO_CPU ? null : cpu,
      isSwitch: this.#isSwitch[row] === 1,
    };
  }

  /** The rows by record, below `recordCount`, those of one record as they were added. */
  sorted(recordCount: number): ChangeTable {
    if (this.#isInOrder) return this;
    const place = new Uint32Array(recordCount + 1);
    for (let row = 0; row < this.count; row++) place[this.#record[row]! + 1]!++;
    for (let record = 1; record <= recordCount; record++) place[record]! += place[record - 1]!;
    const sorted = new ChangeTable();
    sorted.#reserve(this.count);
    sorted.count = this.count;
    for (let row = 0; row < this.count; row++) {
      const to = place[this.#record[row]!]!++;
      sorted.#thread[to] = this.#thread[row]!;
      sorted.#record[to] = this.#record[row]!;
      sorted.#cpu[to] = this.#cpu[row]!;
      sorted.#state[to] = this.#state[row]!;
      sorted.#isSwitch[to] = this.#isSwitch[row]!;
    }
    return sorted;
  }

  #grow(): void {
    this.#reserve(2 * this.#thread.length);
  }

  #reserve(rows: number): void {
    this.#thread = resized(this.#thread, rows);
    this.#record = resized(this.#record, rows);
    this.#cpu = resized(this.#cpu, rows);
    this.#state = resized(this.#state, rows);
    this.#isSwitch = resized(this.#isSwitch, rows);
  }
}

function resized<T extends Int32Array | Uint8Array>(column: T, rows: number): T {
  const larger = new (column.constructor as new (length: number) => T)(Math.max(rows, column.length));
  larger.set(column as never);
  return larger;
}
