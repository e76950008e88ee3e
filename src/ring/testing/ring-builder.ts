/**
 * Test builder: rings in plain memory, records that can be recognized, and a writer that can be stopped after any
 * store.
 */
import { attrFlags, type EventAttr, EventType, eventAttr, SampleType } from '../../abi/event-attr.ts';
import { encodeRecord } from '../../abi/record.ts';
import { initialiseRing, type RingEvent, type RingGeometry, ringGeometry } from '../ring-layout.ts';

export const testAttr: EventAttr = eventAttr({
  type: EventType.software,
  config: 0n,
  samplePeriodOrFreq: 99n,
  sampleType: SampleType.identifier | SampleType.tid | SampleType.time | SampleType.cpu,
  flags: attrFlags('freq', 'sampleIdAll', 'contextSwitch'),
});

export const testEvents: readonly RingEvent[] = [{ name: 'cpu-clock', attr: testAttr, ids: [7n, 8n] }];

export interface TestRing {
  readonly words: Int32Array;
  readonly geometry: RingGeometry;
}

export function testRing(dataBytes: number, auxBytes = 0, events: readonly RingEvent[] = testEvents): TestRing {
  const geometry = ringGeometry(events, dataBytes, auxBytes);
  const words = new Int32Array(geometry.fileBytes >> 2);
  initialiseRing(
    new Uint8Array(words.buffer),
    geometry,
    { sessionId: 1n, ringId: 2n, pid: 10, tid: 11, recorderPid: 12, startTimeNs: 13n, comm: 'worker' },
    events,
  );
  return { words, geometry };
}

/**
 * A COMM record whose time is `serial` and whose name has `nameBytes` bytes: sizes differ, every one is recognisable.
 */
export function serialRecord(serial: number, nameBytes: number): Int32Array {
  const comm = String.fromCharCode(97 + (serial % 26)).repeat(nameBytes);
  const bytes = encodeRecord('COMM', { pid: 10, tid: 11, comm }, { pid: 10, tid: 11, time: BigInt(serial) }, testAttr);
  return new Int32Array(bytes.buffer);
}

/** One 32-bit store of the writer. */
export interface Store {
  readonly index: number;
  readonly value: number;
}

/**
 * One access in program order: plain (`load`, `store`) or through Atomics (`acquire`, `release`, as LDAR and STLR).
 * `index` is −1 for memory that is not the ring's.
 */
export interface Access {
  readonly kind: 'load' | 'store' | 'acquire' | 'release';
  readonly index: number;
  /** What a store stores; 0 of a load. */
  readonly value: number;
}

/** Runs `act` with a stand-in for `words` and returns every store it made, in order, plain and atomic ones alike. */
export function storesOf(words: Int32Array, act: (words: Int32Array, stores: readonly Store[]) => void): Store[] {
  const stores: Store[] = [];
  spyOn(
    words,
    (spied) => act(spied, stores),
    ({ kind, index, value }) => {
      if (index >= 0 && (kind === 'store' || kind === 'release')) stores.push({ index, value });
    },
  );
  return stores;
}

/** As `storesOf`, with the loads, and with what goes to other memory through Atomics. */
export function accessesOf(words: Int32Array, act: (words: Int32Array) => void): Access[] {
  const accesses: Access[] = [];
  spyOn(words, act, (access) => accesses.push(access));
  return accesses;
}

/** The stand-in is a Proxy, which the real Atomics refuse, so their load and store are replaced while `act` runs. */
function spyOn(words: Int32Array, act: (words: Int32Array) => void, note: (access: Access) => void): void {
  const isIndex = (key: string | symbol): key is string => typeof key === 'string' && /^\d+$/.test(key);
  const spied = new Proxy(words, {
    get: (target, key) => {
      if (!isIndex(key)) return Reflect.get(target, key, target);
      note({ kind: 'load', index: Number(key), value: 0 });
      return target[Number(key)];
    },
    set: (target, key, value: number) => {
      target[Number(key as string)] = value;
      note({ kind: 'store', index: Number(key as string), value: value | 0 });
      return true;
    },
  });
  const { load, store } = Atomics;
  Atomics.load = ((source: Int32Array, index: number) => {
    note({ kind: 'acquire', index: source === spied ? index : -1, value: 0 });
    return (source === spied ? words : source)[index];
  }) as typeof Atomics.load;
  Atomics.store = ((target: Int32Array, index: number, value: number) => {
    (target === spied ? words : target)[index] = value;
    note({ kind: 'release', index: target === spied ? index : -1, value });
    return value;
  }) as typeof Atomics.store;
  try {
    act(spied);
  } finally {
    Atomics.load = load;
    Atomics.store = store;
  }
}
