/**
 * Steps and instances of state as small integers, so that the search compares no text in its loop.
 *
 * Invariant: two pending steps have the same id exactly when name, reads and writes are equal. Ids are never reused.
 */
import type { PendingStep } from './program.ts';

/** No step: the actor has nothing to do. */
export const NO_STEP = -1;

const UNKNOWN = 0;
const INDEPENDENT = 1;
const DEPENDENT = 2;

interface Row {
  readonly step: PendingStep;
  readonly id: number;
}

export class StepTable {
  readonly #byName = new Map<string, Row[]>();
  readonly #instances = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #reads: Int32Array[] = [];
  readonly #writes: Int32Array[] = [];
  /**
   * What `dependent` has found, by the larger and then the smaller id: steps are few, pairs are asked for all the
   * time.
   */
  readonly #known: Uint8Array[] = [];

  /** The id of a step. A program that yields the same object for the same step is found at once. */
  idOf(step: PendingStep | undefined): number {
    if (step === undefined) return NO_STEP;
    const rows = this.#byName.get(step.name);
    if (rows === undefined) return this.#add(step);
    for (const row of rows) if (row.step === step) return row.id;
    for (const row of rows)
      if (sameList(row.step.reads, step.reads) && sameList(row.step.writes, step.writes)) return row.id;
    return this.#add(step);
  }

  nameOf(id: number): string {
    return this.#names[id]!;
  }

  /** Instances read and not written. */
  readsOf(id: number): Int32Array {
    return this.#reads[id]!;
  }

  writesOf(id: number): Int32Array {
    return this.#writes[id]!;
  }

  get instanceCount(): number {
    return this.#instances.size;
  }

  /** Whether the order of the two steps matters: one writes an instance that the other reads or writes. */
  dependent(a: number, b: number): boolean {
    const row = this.#known[a > b ? a : b]!;
    const column = a > b ? b : a;
    let known = row[column]!;
    if (known === UNKNOWN) {
      known = this.#conflict(a, b) ? DEPENDENT : INDEPENDENT;
      row[column] = known;
    }
    return known === DEPENDENT;
  }

  #conflict(a: number, b: number): boolean {
    const writesA = this.writesOf(a);
    const writesB = this.writesOf(b);
    return (
      writesA.some((i) => writesB.includes(i) || this.readsOf(b).includes(i)) ||
      writesB.some((i) => this.readsOf(a).includes(i))
    );
  }

  #add(step: PendingStep): number {
    const id = this.#names.length;
    const writes = [...new Set(step.writes.map((name) => this.#instanceOf(name)))];
    const reads = [...new Set(step.reads.map((name) => this.#instanceOf(name)))].filter((i) => !writes.includes(i));
    this.#names.push(step.name);
    this.#reads.push(Int32Array.from(reads));
    this.#writes.push(Int32Array.from(writes));
    this.#known.push(new Uint8Array(id + 1));
    // The program may use its object again for another step: what is kept is a copy.
    const rows = this.#byName.get(step.name);
    const row = {
      step: Object.isFrozen(step) ? step : { name: step.name, reads: [...step.reads], writes: [...step.writes] },
      id,
    };
    if (rows) rows.push(row);
    else this.#byName.set(step.name, [row]);
    return id;
  }

  #instanceOf(name: string): number {
    let instance = this.#instances.get(name);
    if (instance === undefined) {
      instance = this.#instances.size;
      this.#instances.set(name, instance);
    }
    return instance;
  }
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
