/** The CPUs of the machine, and which of them are online: asked again from time to time, since no event reports a change. */
import { readCpus, readOnlineCpus } from './proc.ts';

export class OnlineCpus {
  /** All that can be online without being plugged in: a CPU keeps its index here. */
  readonly present: readonly number[];
  #online: readonly number[];

  constructor() {
    const { present, online } = readCpus();
    this.present = present;
    this.#online = online;
  }

  get now(): readonly number[] {
    return this.#online;
  }

  /** Reads them again. Undefined: no change since, or no descriptor to read them by; else the indexes that went offline. */
  changed(): { readonly offline: readonly number[] } | undefined {
    const online = readOnlineCpus();
    const before = this.#online;
    if (!online || (online.length === before.length && online.every((cpu, index) => cpu === before[index]))) return;
    this.#online = online;
    const offline = this.present.flatMap((cpu, index) =>
      before.includes(cpu) && !online.includes(cpu) ? [index] : [],
    );
    return { offline };
  }
}
