/**
 * Small programs whose traces are known, from the literature or by counting. Each says what a search must find in it.
 *
 * Counts of indexer, last-zero and file-system: C. Flanagan, P. Godefroid, POPL 2005; P. Abdulla et al., "Optimal
 * dynamic partial order reduction", POPL 2014, table 1 (column Optimal-DPOR), with the size in brackets.
 */
import { type Condition, type ModelActor, programOf, step } from '../model.ts';
import type { Program } from '../program.ts';

export interface Litmus {
  readonly program: Program;
  /** Distinct traces: the executions that an optimal reduction needs; undefined: only brute force counts them. */
  readonly traces?: number;
  /** The names of what breaks in some execution. */
  readonly breaks: readonly string[];
}

interface Cells {
  readonly [cell: string]: number;
}

type MutableCells = { [cell: string]: number };

const load = (s: Cells, x: string) => step(`load ${x}`, { reads: [x], perform: () => s[x] });
const store = (s: MutableCells, x: string, value: number) =>
  step(`store ${x}`, {
    writes: [x],
    perform: () => {
      s[x] = value;
    },
  });
const lock = (s: MutableCells, m: string) =>
  step(`lock ${m}`, {
    writes: [m],
    when: () => s[m] === 0,
    perform: () => {
      s[m] = 1;
    },
  });
const unlock = (s: MutableCells, m: string) => ({ ...store(s, m, 0), name: `unlock ${m}` });

function cells(names: readonly string[]): MutableCells {
  return Object.fromEntries(names.map((name) => [name, 0]));
}

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

function actorsOf<S>(n: number, body: (s: S, i: number) => ModelActor): Record<string, (s: S) => ModelActor> {
  return Object.fromEntries(range(n).map((i) => [String.fromCharCode(65 + i), (s: S) => body(s, i)]));
}

/** n actors that each write a variable of their own: one trace. */
export function independentWriters(n: number): Litmus {
  const program = programOf<MutableCells>({
    name: `independent-writers(${n})`,
    state: () => cells(range(n).map((i) => `x${i}`)),
    actors: actorsOf(n, function* (s, i) {
      yield store(s, `x${i}`, 1);
      yield store(s, `x${i}`, 2);
    }),
  });
  return { program, traces: 1, breaks: [] };
}

/** One writer, n readers: each reads before or after. */
export function readers(n: number): Litmus {
  const program = programOf<MutableCells>({
    name: `readers(${n})`,
    state: () => cells(['x', ...range(n + 1).map((i) => `r${i}`)]),
    actors: actorsOf(n + 1, function* (s, i) {
      if (i === 0) yield store(s, 'x', 1);
      else s[`r${i}`] = yield load(s, 'x');
    }),
  });
  return { program, traces: 2 ** n, breaks: [] };
}

/** Store buffering: under sequential consistency at least one of the two reads the other's store. */
export function storeBuffering(): Litmus {
  const program = programOf<MutableCells>({
    name: 'store-buffering',
    state: () => cells(['x', 'y', 'a', 'b']),
    actors: {
      *A(s) {
        yield store(s, 'x', 1);
        s.a = yield load(s, 'y');
      },
      *B(s) {
        yield store(s, 'y', 1);
        s.b = yield load(s, 'x');
      },
    },
    atEnd: { 'sequential consistency': (s) => s.a === 1 || s.b === 1 },
  });
  return { program, traces: 3, breaks: [] };
}

/** Two increments that are each a load and a store. */
export function lostUpdate(): Litmus {
  const program = programOf<MutableCells>({
    name: 'lost-update',
    state: () => cells(['x']),
    actors: actorsOf(2, function* (s) {
      const value = yield load(s, 'x');
      yield store(s, 'x', value + 1);
    }),
    atEnd: { 'no update is lost': (s) => s.x === 2 || `x is ${s.x}` },
  });
  // Both loads first and then the stores in two orders, or one actor after the other.
  return { program, traces: 4, breaks: ['no update is lost'] };
}

/** Increments under a mutex: n! traces. */
export function lockedUpdates(n: number): Litmus {
  const program = programOf<MutableCells>({
    name: `locked-updates(${n})`,
    state: () => cells(['x', 'm']),
    actors: actorsOf(n, function* (s) {
      yield lock(s, 'm');
      const value = yield load(s, 'x');
      yield store(s, 'x', value + 1);
      yield unlock(s, 'm');
    }),
    atEnd: { 'no update is lost': (s) => s.x === n },
  });
  return { program, traces: range(n).reduce((product, i) => product * (i + 1), 1), breaks: [] };
}

interface Sections {
  [cell: string]: number;
  inside: number;
}

const notBoth = { over: ['inside'], holds: ((s) => s.inside <= 1) satisfies Condition<Sections> };
const enter = (s: Sections) =>
  step('enter', {
    writes: ['inside'],
    perform: () => {
      s.inside++;
    },
  });
const leave = (s: Sections) =>
  step('leave', {
    writes: ['inside'],
    perform: () => {
      s.inside--;
    },
  });

/** The pair at the heart of Dekker's algorithm: raise one's own flag, then look at the other's. Wrong: look first. */
export function dekker(isWrong = false): Litmus {
  const program = programOf<Sections>({
    name: isWrong ? 'dekker-look-first' : 'dekker',
    state: () => ({ inside: 0, flag0: 0, flag1: 0 }),
    actors: actorsOf(2, function* (s, i) {
      const mine = `flag${i}`;
      const other = `flag${1 - i}`;
      if (!isWrong) yield store(s, mine, 1);
      const isFree = (yield load(s, other)) === 0;
      if (isWrong) yield store(s, mine, 1);
      if (isFree) {
        yield enter(s);
        yield leave(s);
      }
      yield store(s, mine, 0);
    }),
    invariants: { 'mutual exclusion': notBoth },
  });
  return { program, breaks: isWrong ? ['mutual exclusion'] : [] };
}

/**
 * Peterson's algorithm, once through; waiting is one step that reads flag and turn. Wrong: the turn is given before
 * the flag is up.
 */
export function peterson(isWrong = false): Litmus {
  const program = programOf<Sections>({
    name: isWrong ? 'peterson-turn-first' : 'peterson',
    state: () => ({ inside: 0, flag0: 0, flag1: 0, turn: 0 }),
    actors: actorsOf(2, function* (s, i) {
      const other = 1 - i;
      const announce = [store(s, `flag${i}`, 1), store(s, 'turn', other)];
      if (isWrong) announce.reverse();
      yield* announce;
      yield step('await', { reads: [`flag${other}`, 'turn'], when: () => s[`flag${other}`] === 0 || s.turn === i });
      yield enter(s);
      yield leave(s);
      yield store(s, `flag${i}`, 0);
    }),
    invariants: { 'mutual exclusion': notBoth },
  });
  return { program, breaks: isWrong ? ['mutual exclusion'] : [] };
}

/** Two mutexes taken in opposite orders. */
export function lockOrder(): Litmus {
  const program = programOf<MutableCells>({
    name: 'lock-order',
    state: () => cells(['m', 'n']),
    actors: actorsOf(2, function* (s, i) {
      const [outer, inner] = i === 0 ? ['m', 'n'] : ['n', 'm'];
      yield lock(s, outer!);
      yield lock(s, inner!);
      yield unlock(s, inner!);
      yield unlock(s, outer!);
    }),
  });
  return { program, traces: 3, breaks: ['deadlock'] };
}

interface Queue {
  [cell: string]: number | number[];
  m: number;
  length: number;
  /** Actors that wait for the condition, first come first. */
  waiting: number[];
  /** Actors that have been woken. */
  woken: number[];
}

/**
 * A queue of one place under a mutex with one condition for both sides, two producers and two consumers of one value
 * each. Wrong: a change wakes one waiter, which may be of the wrong side, and the wake-up is lost.
 */
export function boundedQueue(wakesAll: boolean): Litmus {
  const state = { writes: ['condition'] };
  const program = programOf<Queue>({
    name: wakesAll ? 'bounded-queue' : 'bounded-queue-wakes-one',
    state: () => ({ m: 0, length: 0, waiting: [], woken: [] }),
    actors: actorsOf(4, function* (s, i) {
      const mutex = s as unknown as MutableCells;
      const [from, to] = i < 2 ? [0, 1] : [1, 0];
      yield lock(mutex, 'm');
      while ((yield step('look', { reads: ['length'], perform: () => s.length })) !== from) {
        yield step('wait', {
          writes: ['m', 'condition'],
          perform: () => {
            s.waiting.push(i);
            s.m = 0;
          },
        });
        yield step('woken', {
          writes: ['m', 'condition'],
          when: () => s.m === 0 && s.woken.includes(i),
          perform: () => {
            s.woken.splice(s.woken.indexOf(i), 1);
            s.m = 1;
          },
        });
      }
      yield step('change', {
        writes: ['length'],
        perform: () => {
          s.length = to!;
        },
      });
      const wake = () => {
        s.woken.push(...s.waiting.splice(0, wakesAll ? s.waiting.length : 1));
        s.woken.sort();
      };
      yield step('wake', { ...state, perform: wake });
      yield unlock(mutex, 'm');
    }),
  });
  return { program, breaks: wakesAll ? [] : ['deadlock'] };
}

/**
 * A waiter for two conditions at once, that two actors each take away for a while: races that a blocked step alone
 * shows.
 */
export function twoConditions(): Litmus {
  const program = programOf<MutableCells>({
    name: 'two-conditions',
    state: () => ({ x: 1, y: 1 }),
    actors: {
      *A(s) {
        yield store(s, 'x', 0);
        yield store(s, 'x', 1);
      },
      *B(s) {
        yield store(s, 'y', 0);
        yield store(s, 'y', 1);
      },
      *C(s) {
        yield step('await', { reads: ['x', 'y'], when: () => s.x === 1 && s.y === 1 });
      },
    },
  });
  // Before, or between, or after each pair of stores: three places in each of two orders.
  return { program, traces: 4, breaks: [] };
}

const INDEXER_SIZE = 128;
const INDEXER_ENTRIES = 4;

/** Threads insert into one hash table by compare and exchange; the first collisions come with twelve threads. */
export function indexer(n: number): Litmus {
  const program = programOf<{ table: number[] }>({
    name: `indexer(${n})`,
    state: () => ({ table: Array(INDEXER_SIZE).fill(0) }),
    actors: actorsOf(n, function* ({ table }, tid) {
      for (let entry = 1; entry <= INDEXER_ENTRIES; entry++) {
        const value = entry * 11 + tid;
        for (let h = (value * 7) % INDEXER_SIZE; ; h = (h + 1) % INDEXER_SIZE) {
          const exchange = () => {
            if (table[h] !== 0) return false;
            table[h] = value;
            return true;
          };
          if (yield step('exchange', { writes: [`table[${h}]`], perform: exchange })) break;
        }
      }
    }),
  });
  return { program, traces: 8 ** Math.max(0, n - 11), breaks: [] };
}

const LAST_ZERO_TRACES: Readonly<Record<number, number>> = { 5: 64, 10: 3328, 15: 147_456 };

/** n actors each add one to their left neighbour's cell, one looks for the last zero from the right. */
export function lastZero(n: number): Litmus {
  const program = programOf<{ cells: number[]; found: number }>({
    name: `last-zero(${n})`,
    state: () => ({ cells: Array(n + 1).fill(0), found: -1 }),
    actors: actorsOf(n + 1, function* (s, j) {
      const read = (i: number) => step(`read ${i}`, { reads: [`cell${i}`], perform: () => s.cells[i] });
      if (j === 0) {
        let i = n;
        while ((yield read(i)) !== 0) i--;
        s.found = i;
      } else {
        const left = yield read(j - 1);
        yield step(`write ${j}`, {
          writes: [`cell${j}`],
          perform: () => {
            s.cells[j] = left + 1;
          },
        });
      }
    }),
  });
  const traces = LAST_ZERO_TRACES[n];
  return { program, ...(traces === undefined ? {} : { traces }), breaks: [] };
}

const BLOCKS = 26;
const INODES = 32;

/**
 * Threads take an inode's mutex and look for a free block under the blocks' mutexes; they meet from fourteen threads
 * on.
 */
export function fileSystem(n: number): Litmus {
  const program = programOf<{ inode: number[]; busy: number[]; cells: MutableCells }>({
    name: `file-system(${n})`,
    state: () => ({
      inode: Array(INODES).fill(0),
      busy: Array(BLOCKS).fill(0),
      cells: cells([...range(INODES).map((i) => `inode ${i}`), ...range(BLOCKS).map((b) => `block ${b}`)]),
    }),
    actors: actorsOf(n, function* (s, tid) {
      const i = tid % INODES;
      yield lock(s.cells, `inode ${i}`);
      if ((yield step('look at inode', { reads: [`inode[${i}]`], perform: () => s.inode[i] })) === 0) {
        for (let b = (i * 2) % BLOCKS; ; b = (b + 1) % BLOCKS) {
          yield lock(s.cells, `block ${b}`);
          const isBusy = yield step('look at block', { reads: [`busy[${b}]`], perform: () => s.busy[b] });
          if (!isBusy) {
            yield step('take', {
              writes: [`busy[${b}]`, `inode[${i}]`],
              perform: () => {
                s.busy[b] = 1;
                s.inode[i] = b + 1;
              },
            });
          }
          yield unlock(s.cells, `block ${b}`);
          if (!isBusy) break;
        }
      }
      yield unlock(s.cells, `inode ${i}`);
    }),
  });
  return { program, traces: 2 ** Math.max(0, n - 13), breaks: [] };
}
