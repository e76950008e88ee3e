/**
 * Protocol state that remembers which locations were touched, to hold each step to what it declares.
 *
 * Invariant: every method of `ProtocolState` that touches a shared word is overridden here.
 */
import { CpuWord, EventWord, ProtocolState, RecorderWord } from '../corrected/state.ts';
import type { Location } from '../step.ts';

const EVENT_LOCATIONS = Object.keys(EventWord).map((name) => `event.${name}` as Location);
const CPU_LOCATIONS: Readonly<Record<CpuWord, Location>> = {
  [CpuWord.lock]: 'cpu.lock',
  [CpuWord.irq]: 'cpu.irq',
  [CpuWord.active]: 'cpu.active',
  [CpuWord.count]: 'cpu.list',
};
const RECORDER_LOCATIONS: Readonly<Partial<Record<RecorderWord, Location>>> = {
  [RecorderWord.users]: 'recorder.account',
  [RecorderWord.charged]: 'recorder.account',
  [RecorderWord.freed]: 'recorder.records',
  [RecorderWord.fresh]: 'recorder.records',
  [RecorderWord.pinned]: 'recorder.pinned',
  [RecorderWord.pinnedPeak]: 'recorder.pinned',
};

export class WatchedState extends ProtocolState {
  readonly reads = new Set<Location>();
  readonly writes = new Set<Location>();
  watching = false;

  override get(event: number, word: EventWord): number {
    this.#touch(EVENT_LOCATIONS[word], true, false);
    return super.get(event, word);
  }

  override set(event: number, word: EventWord, value: number): void {
    this.#touch(EVENT_LOCATIONS[word], false, true);
    super.set(event, word, value);
  }

  override add(event: number, word: EventWord, value: number): number {
    this.#touch(EVENT_LOCATIONS[word], false, true);
    return super.add(event, word, value);
  }

  override swap(event: number, word: EventWord, from: number, to: number): boolean {
    this.#touch(EVENT_LOCATIONS[word], false, true);
    return super.swap(event, word, from, to);
  }

  override cpuGet(cpu: number, word: CpuWord): number {
    this.#touch(CPU_LOCATIONS[word], true, false);
    return super.cpuGet(cpu, word);
  }

  override cpuAdd(cpu: number, word: CpuWord, value: number): number {
    this.#touch(CPU_LOCATIONS[word], false, true);
    return super.cpuAdd(cpu, word, value);
  }

  override cpuSwap(cpu: number, word: CpuWord, from: number, to: number): boolean {
    this.#touch(CPU_LOCATIONS[word], false, true);
    return super.cpuSwap(cpu, word, from, to);
  }

  override recorderGet(word: RecorderWord): number {
    this.#touch(RECORDER_LOCATIONS[word], true, false);
    return super.recorderGet(word);
  }

  override recorderSet(word: RecorderWord, value: number): void {
    this.#touch(RECORDER_LOCATIONS[word], false, true);
    super.recorderSet(word, value);
  }

  override recorderAdd(word: RecorderWord, value: number): number {
    this.#touch(RECORDER_LOCATIONS[word], false, true);
    return super.recorderAdd(word, value);
  }

  override recorderSwap(word: RecorderWord, from: number, to: number): boolean {
    this.#touch(RECORDER_LOCATIONS[word], false, true);
    return super.recorderSwap(word, from, to);
  }

  override front(cpu: number): number {
    this.#touch('cpu.list', true, false);
    return super.front(cpu);
  }

  override listToFront(cpu: number, event: number): boolean {
    this.#touch('cpu.list', false, true);
    return super.listToFront(cpu, event);
  }

  override listInsert(cpu: number, event: number): void {
    this.#touch('cpu.list', false, true);
    super.listInsert(cpu, event);
  }

  override listRemove(cpu: number, event: number): boolean {
    this.#touch('cpu.list', false, true);
    return super.listRemove(cpu, event);
  }

  override listTakeLast(cpu: number): number {
    this.#touch('cpu.list', false, true);
    return super.listTakeLast(cpu);
  }

  /** Starts a watch with nothing touched. */
  watch(): void {
    this.reads.clear();
    this.writes.clear();
    this.watching = true;
  }

  #touch(location: Location | undefined, read: boolean, write: boolean): void {
    if (!this.watching || location === undefined) return;
    if (read) this.reads.add(location);
    if (write) this.writes.add(location);
  }
}
