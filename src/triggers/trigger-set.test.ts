import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeTrigger, type TriggerOptions } from './trigger.ts';
import { TriggerSet } from './trigger-set.ts';
import { parseTrigger } from './trigger-text.ts';

const MS = 1_000_000;
const SEGV = 11;
const directory = '/nowhere';
/** A wall clock that was at 1000 ms when the other was at 0, and runs a million times as fast. */
const wallMsOf = (ns: number) => 1000 + ns;

function trigger(text: string, given: TriggerOptions = {}) {
  return makeTrigger(parseTrigger(text), { directory, ...given });
}

/** A set with one trigger; all its threads sleep. */
function setOf(text: string, given: TriggerOptions = {}, state = 'S') {
  const set = new TriggerSet(() => state);
  return { set, id: set.add(trigger(text, given)) };
}

function killed(pid: number, signal = SEGV, comm = 'server') {
  return { pid, comm, code: null, signal };
}
function exited(pid: number, code: number) {
  return { pid, comm: 'server', code, signal: null };
}

describe('a trigger on the end of a process', () => {
  it('fires for the given signals, or for any', () => {
    const set = new TriggerSet(() => 'S');
    const [any, some] = [set.add(trigger('exit-signal')), set.add(trigger('exit-signal:KILL,SEGV'))];
    set.processEnded(killed(1, 15), 1);
    set.processEnded(exited(1, 139), 2);
    expect(set.tick(3).map(({ triggerId }) => triggerId)).toEqual([any]);
    set.processEnded({ ...killed(7), tid: 9 }, 20_000 * MS);
    expect(set.tick(20_000 * MS)).toEqual(
      [any, some].map((triggerId) => ({
        triggerId,
        firedNs: 20_000 * MS,
        dueNs: 20_000 * MS,
        fromNs: null,
        why: 'process 7 (server) was killed by SIGSEGV in thread 9',
        pid: 7,
        tid: 9,
        comm: 'server',
        firings: 1,
      })),
    );
  });

  it('fires for the given statuses, or for any but 0', () => {
    const set = new TriggerSet(() => 'S');
    const [any, three] = [set.add(trigger('exit-status')), set.add(trigger('exit-status:0,3'))];
    const fired = (code: number, nowNs: number) => {
      set.processEnded(exited(1, code), nowNs);
      return set.tick(nowNs).map(({ triggerId }) => triggerId);
    };
    expect(fired(0, 1)).toEqual([three]);
    expect(fired(1, 20_000 * MS)).toEqual([any]);
    expect(fired(3, 40_000 * MS)).toEqual([any, three]);
    set.processEnded(killed(1), 60_000 * MS);
    expect(set.tick(60_000 * MS)).toEqual([]);
  });

  it('fires only for selected processes', () => {
    const { set } = setOf('exit-signal', { comm: 'serv*', pid: 7 });
    set.processEnded(killed(8), 1);
    set.processEnded(killed(7, SEGV, 'client'), 1);
    expect(set.nextDueNs()).toBe(Number.POSITIVE_INFINITY);
    set.processEnded(killed(7), 1);
    expect(set.nextDueNs()).toBe(1);
  });
});

describe('a trigger on switches', () => {
  it('watches selected threads, and has a new epoch when the selection may have changed', () => {
    const set = new TriggerSet(() => 'S');
    expect(set.needsSwitches).toBe(false);
    set.add(trigger('exit-signal'));
    const epoch = set.switchEpoch;
    const id = set.add(trigger('stall>10ms', { comm: 'worker*' }));
    expect([set.needsSwitches, set.switchEpoch === epoch]).toEqual([true, false]);
    expect([set.watches(1, 2, 'worker-3'), set.watches(1, 2, 'main')]).toEqual([true, false]);
    set.add(trigger('runqueue>10ms', { tid: 5 }));
    expect([set.watches(1, 5, 'main'), set.watches(1, 2, 'main')]).toEqual([true, false]);
    expect([set.remove(id), set.remove(id), set.watches(1, 2, 'worker-3')]).toEqual([true, false, false]);
  });

  it('fires by the switch that ends a stall', () => {
    const { set } = setOf('stall>10ms', { comm: 'worker' });
    set.switched(2, 1, 'worker', 5 * MS, true, false);
    set.switched(3, 1, 'main', 5 * MS, true, false);
    set.switched(3, 1, 'main', 50 * MS, false, false);
    set.switched(2, 1, 'worker', 17 * MS, false, false);
    expect(set.tick(60 * MS)).toMatchObject([
      {
        firedNs: 17 * MS,
        tid: 2,
        pid: 1,
        why: 'thread 2 (worker) of process 1 was off the CPU for 12ms, longer than 10ms',
      },
    ]);
  });

  it('fires during a stall that does not end', () => {
    const { set } = setOf('stall>10ms', { tid: 2 });
    set.switched(2, 1, 'worker', 5 * MS, true, false);
    expect(set.nextDueNs()).toBe(15 * MS + 1);
    expect(set.tick(15 * MS)).toEqual([]);
    expect(set.tick(16 * MS)).toMatchObject([
      { why: 'thread 2 (worker) of process 1 has been off the CPU for 11ms so far, longer than 10ms' },
    ]);
    expect(set.nextDueNs()).toBe(Number.POSITIVE_INFINITY);
  });

  it('does not fire for sleeping threads without a selection', () => {
    const states = new Map([
      [2, 'S'],
      [3, 'D'],
    ]);
    const set = new TriggerSet((_pid, tid) => states.get(tid));
    set.add(trigger('stall>10ms'));
    for (const tid of [2, 3, 4]) set.switched(tid, 1, 't', 0, true, false);
    expect(set.tick(11 * MS)).toMatchObject([{ tid: 3, firings: 1 }]);
  });

  it('on the run queue fires for preempted threads only', () => {
    const { set } = setOf('runqueue>10ms', {}, 'R');
    set.switched(2, 1, 't', 0, true, false);
    set.switched(3, 1, 't', 0, true, true);
    expect(set.tick(11 * MS)).toMatchObject([
      {
        why: 'thread 3 (t) of process 1 was preempted and has had no CPU for 11ms so far, longer than 10ms',
      },
    ]);
  });

  it('fires neither for exited threads nor for a sleep with a lost switch in it', () => {
    const { set } = setOf('stall>10ms', { pid: 1 }, 'R');
    set.switched(2, 1, 't', 0, true, false);
    set.threadEnded(2);
    set.switched(3, 1, 't', 0, true, false);
    set.switched(4, 1, 't', 0, true, false);
    set.switchesLost(5 * MS);
    set.switched(3, 1, 't', 20 * MS, false, false);
    expect(set.tick(30 * MS)).toEqual([]);
  });
});

describe('a trigger on a tracepoint or on pressure', () => {
  it('fires for hits by selected threads', () => {
    const { set, id } = setOf('tracepoint:sched:sched_process_exit/pid > 1/', { comm: 'a' });
    set.sampled(id, 2, 1, 'b', 5);
    set.sampled(id + 1, 2, 1, 'a', 5);
    set.sampled(id, 2, 1, 'a', 6);
    expect(set.tick(7)).toMatchObject([
      { firedNs: 6, why: 'thread 2 (a) of process 1 hit sched:sched_process_exit', firings: 1 },
    ]);
  });

  it('fires for the whole machine', () => {
    const { set, id } = setOf('psi:memory>150ms/1s');
    set.pressure(id, 5);
    set.remove(id + 1);
    expect(set.tick(5)).toMatchObject([{ why: 'some task waited for memory for more than 150ms of 1s' }]);
  });
});

describe('a snapshot', () => {
  it('is taken once for all firings before it, with its window', () => {
    const { set } = setOf('exit-signal', { preMs: 5, postMs: 2, atMost: { count: 9, perMs: 1 } });
    set.processEnded(killed(1), 10 * MS);
    expect([set.nextDueNs(), set.tick(11 * MS)]).toEqual([12 * MS, []]);
    set.processEnded(killed(2), 11 * MS);
    set.processEnded(killed(3), 13 * MS);
    expect(set.tick(13 * MS)).toMatchObject([{ pid: 1, firedNs: 10 * MS, dueNs: 12 * MS, fromNs: 5 * MS, firings: 3 }]);
    expect(set.tick(14 * MS)).toEqual([]);
  });

  it('of one trigger is taken before that of another if it is due before', () => {
    const set = new TriggerSet(() => 'S');
    const [late, soon] = [set.add(trigger('exit-signal', { postMs: 9 })), set.add(trigger('exit-signal'))];
    set.processEnded(killed(1), 0);
    expect(set.tick(20 * MS).map(({ triggerId }) => triggerId)).toEqual([soon, late]);
  });

  it('is in the status, with its error', () => {
    const { set, id } = setOf('exit-signal', { comm: 'server' });
    for (const nowNs of [1, 2, 3]) {
      set.processEnded(killed(1), nowNs);
      set.tick(nowNs);
    }
    set.failed(id, 'the disk is full');
    const status = { id, on: 'exit-signal', fired: 3, suppressed: 2, lastFiredWallMs: 1003 };
    expect(set.list(wallMsOf)).toMatchObject([{ ...status, lastSnapshot: null, lastError: 'the disk is full' }]);
    set.snapshotTaken(id, '/a');
    expect(set.list(wallMsOf)).toMatchObject([{ ...status, lastSnapshot: '/a', lastError: null }]);
    expect(set.get(id)?.options.comm).toBe('server');
  });

  it('is taken as often as the rate allows, and not more often', () => {
    const steps = fc.array(fc.record({ afterMs: fc.nat(30), isTick: fc.boolean() }), { maxLength: 100 });
    const rate = fc.record({ count: fc.integer({ min: 1, max: 3 }), perMs: fc.integer({ min: 1, max: 60 }) });
    fc.assert(
      fc.property(rate, fc.nat(40), steps, (atMost, postMs, given) => {
        const { set } = setOf('exit-signal', { atMost, postMs });
        const begun: number[] = [];
        let [nowMs, dueMs, fired, suppressed] = [0, Number.POSITIVE_INFINITY, 0, 0];
        for (const { afterMs, isTick } of given) {
          nowMs += afterMs;
          if (isTick) {
            expect(set.tick(nowMs * MS)).toHaveLength(dueMs <= nowMs ? 1 : 0);
            if (dueMs <= nowMs) dueMs = Number.POSITIVE_INFINITY;
          } else {
            set.processEnded(killed(1), nowMs * MS);
            fired++;
            if (dueMs !== Number.POSITIVE_INFINITY) continue;
            if (begun.filter((at) => at > nowMs - atMost.perMs).length < atMost.count) {
              begun.push(nowMs);
              dueMs = nowMs + postMs;
            } else suppressed++;
          }
          expect(set.nextDueNs()).toBe(dueMs * MS);
        }
        expect(set.list(wallMsOf)).toMatchObject([{ fired, suppressed }]);
      }),
    );
  });
});
