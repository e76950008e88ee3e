/**
 * Address spaces (mm_struct): users, holders, and what is mapped where.
 *
 * Invariant: mappings exist while there are users; the structure exists while there are users or holders. Touching one
 * that is gone is reported (I11).
 */
import { Violation } from '../../protocol/violation.ts';

export interface VmArea {
  readonly address: number;
  /** Whose ring it shows; -1: memory of the task's own. */
  readonly event: number;
  /** Not VM_DONTCOPY: fork copies it. */
  readonly copied: boolean;
  /** VM_MAYWRITE: mprotect may make it writable. */
  readonly mayWrite: boolean;
}

export class MmStruct {
  readonly id: number;
  users = 1;
  /** By event, the references that it holds. */
  readonly #held = new Map<number, number>();
  readonly areas: VmArea[] = [];

  constructor(id: number) {
    this.id = id;
  }

  get holders(): number {
    return this.#held.size;
  }

  isHeldBy(event: number): boolean {
    return this.#held.has(event);
  }

  /** mmgrab on the event's account. */
  hold(event: number): void {
    this.#held.set(event, (this.#held.get(event) ?? 0) + 1);
  }

  /** mmdrop: false, the event holds no reference. */
  drop(event: number): boolean {
    const references = this.#held.get(event);
    if (references === undefined) return false;
    if (references === 1) this.#held.delete(event);
    else this.#held.set(event, references - 1);
    return true;
  }

  get isGone(): boolean {
    return this.users === 0 && this.holders === 0;
  }

  /** Maps at the lowest free address; which. */
  map(event: number, copied: boolean, mayWrite: boolean): number {
    let address = 1;
    while (this.areas.some((area) => area.address === address)) address++;
    this.areas.push({ address, event, copied, mayWrite });
    return address;
  }

  /** Removes what lies at the address: it, or undefined. Throws where the mm is gone. */
  unmapAt(address: number): VmArea | undefined {
    this.expectHere();
    const index = this.areas.findIndex((area) => area.address === address);
    return index < 0 ? undefined : this.areas.splice(index, 1)[0];
  }

  /** The area that shows the event's ring. */
  areaOf(event: number): VmArea | undefined {
    return this.areas.find((area) => area.event === event);
  }

  /** mmput: the last user's takes the mappings along. */
  leave(): void {
    this.expectHere();
    if (--this.users === 0) this.areas.length = 0;
  }

  /** Throws a `Violation` when the structure was freed. */
  expectHere(): void {
    if (this.isGone) throw new Violation('I11', `mm ${this.id} is locked, and it is gone`);
  }

  describe(): string {
    const areas = this.areas.map(({ address, event }) => `${address}:${event < 0 ? 'own' : `ring ${event}`}`);
    return `mm${this.id}(${this.users} users, ${this.holders} holders) [${areas.join(' ')}]`;
  }
}
