/**
 * Two cores of the pinning protocol, step by step as `test/fixtures/*.pml` has them for SPIN: the same verdict and
 * the same final states are asked of both checkers.
 */
import { type ModelActor, programOf, step } from '../model.ts';
import type { Program } from '../program.ts';

interface Gate {
  gate: number;
  writers: number;
  pages: number;
  stored: number;
  lost: number;
  /** Stores to unreferenced pages. */
  astray: number;
}

/** The pair at the heart of I2: a writer announces itself and then looks at the gate; wrong: it looks first. */
export function gateAndWriters(writers: number, looksFirst: boolean): Program {
  return programOf<Gate>({
    name: looksFirst ? 'gate-writers-look-first' : 'gate-writers',
    state: () => ({ gate: 1, writers: 0, pages: 1, stored: 0, lost: 0, astray: 0 }),
    actors: {
      ...Object.fromEntries(
        Array.from({ length: writers }, (_, i) => [`writer${i}`, (s: Gate) => writer(s, looksFirst)]),
      ),
      *drainer(s) {
        yield step('gate.shut', { writes: ['gate'], perform: () => Object.assign(s, { gate: 0 }) });
        yield step('drain.writers', { reads: ['writers'], when: () => s.writers === 0 });
        yield step('pages.put', { writes: ['pages'], perform: () => Object.assign(s, { pages: 0 }) });
      },
    },
    invariants: { I2: { over: ['astray'], holds: (s) => s.astray === 0 || 'a store to unreferenced pages' } },
  });
}

function* writer(s: Gate, looksFirst: boolean): ModelActor {
  const look = step('write.gate', { reads: ['gate'], perform: () => s.gate });
  const enter = step('write.enter', { writes: ['writers'], perform: () => s.writers++ });
  let open = 0;
  if (looksFirst) {
    open = yield look;
    yield enter;
  } else {
    yield enter;
    open = yield look;
  }
  const store = () => {
    s.stored++;
    if (s.pages === 0) s.astray++;
  };
  if (open === 1) yield step('write.store', { reads: ['pages'], writes: ['stored', 'astray'], perform: store });
  else yield step('write.lose', { writes: ['lost'], perform: () => s.lost++ });
  yield step('write.leave', { writes: ['writers'], perform: () => s.writers-- });
}

interface Slot {
  mutex: number;
  slot: number;
  readonly npin: number[];
  doubles: number;
}

const NONE = 255;
/** Counts are bytes, as SPIN's are. */
const byte = (value: number) => value & 255;

/** Events claim the one slot of a CPU and unpin what it named; torn: without the mutex, two unpin the same victim. */
export function slotClaim(claimers: number, isTorn: boolean): Program {
  return programOf<Slot>({
    name: isTorn ? 'slot-claim-torn' : 'slot-claim',
    state: () => ({ mutex: 0, slot: NONE, npin: Array(claimers).fill(0), doubles: 0 }),
    actors: Object.fromEntries(
      Array.from({ length: claimers }, (_, i) => [`claimer${i}`, (s: Slot) => claimer(s, i, isTorn)]),
    ),
    invariants: { I3: { over: ['doubles'], holds: (s) => s.doubles === 0 || 'an event is unpinned twice' } },
  });
}

function* claimer(s: Slot, event: number, isTorn: boolean): ModelActor {
  if (!isTorn)
    yield step('slot.lock', {
      writes: ['mutex'],
      when: () => s.mutex === 0,
      perform: () => Object.assign(s, { mutex: 1 }),
    });
  const old = yield step('slot.read', { reads: ['slot'], perform: () => s.slot });
  if (old !== NONE) {
    const lower = () => {
      if (s.npin[old] !== 1) s.doubles++;
      s.npin[old] = byte(s.npin[old]! - 1);
    };
    yield step('npin.lower', { writes: [`npin[${old}]`, 'doubles'], perform: lower });
  }
  yield step('slot.store', { writes: ['slot'], perform: () => Object.assign(s, { slot: event }) });
  const raise = () => {
    s.npin[event] = byte(s.npin[event]! + 1);
  };
  yield step('npin.raise', { writes: [`npin[${event}]`], perform: raise });
  if (!isTorn) yield step('slot.unlock', { writes: ['mutex'], perform: () => Object.assign(s, { mutex: 0 }) });
}
