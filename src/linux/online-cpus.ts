/** The CPUs of the machine, and which of them are online; to be read again from time to time. */
import { readCpus, readOnlineCpus } from './proc.ts';

export class OnlineCpus {
  /** All that may come online. The index of a CPU here does not change. */
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

  /**
   * Reads the online CPUs. Undefined: no change, or no descriptor left for it; else the indexes of those that went
   * offline.
   */
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
