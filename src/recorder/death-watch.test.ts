import { describe, expect, it } from 'vitest';
import { spawnGated } from '../linux/gated-command.ts';
import { Poller } from '../linux/poller.ts';
import { DeathWatch, signalName } from './death-watch.ts';

const SEGV = 11;
const KILL = 9;

function watch(maxFds = 8): { deaths: DeathWatch; poller: Poller } {
  const poller = new Poller();
  return { deaths: new DeathWatch(poller, maxFds), poller };
}

describe('the thread that took a signal', () => {
  it('is the one that the tracepoint names', () => {
    const { deaths } = watch();
    deaths.threadExited(10, { tid: 10, comm: 'main', timeNs: 99n });
    deaths.signalDelivered(10, SEGV, { tid: 12, comm: 'victim', timeNs: 98n });
    expect(deaths.death(10, SEGV, 'p')).toEqual({
      pid: 10,
      tid: 12,
      comm: 'victim',
      signal: 'SIGSEGV',
      timeNs: 98,
      evidence: 'signal-deliver',
    });
  });

  it('else is the first of those that left at the end, not one that had left long before', () => {
    const { deaths } = watch();
    deaths.threadExited(10, { tid: 11, comm: 'old', timeNs: 1n });
    deaths.threadExited(10, { tid: 10, comm: 'main', timeNs: 60_000_000_200n });
    deaths.threadExited(10, { tid: 12, comm: 'victim', timeNs: 60_000_000_100n });
    expect(deaths.death(10, SEGV, 'p')).toMatchObject({ tid: 12, comm: 'victim', evidence: 'first-exit' });
  });

  it('is nobody in particular for SIGKILL, or when all were seen gone at once: the main thread stands for all', () => {
    const { deaths } = watch();
    for (const tid of [12, 10]) deaths.threadExited(10, { tid, comm: `t${tid}`, timeNs: 5n });
    deaths.signalDelivered(10, KILL, { tid: 12, comm: 't12', timeNs: 4n });
    expect(deaths.death(10, KILL, 'p')).toMatchObject({ tid: 10, evidence: 'main-thread' });
    expect(deaths.death(10, SEGV, 'p')).toMatchObject({ tid: 10, evidence: 'main-thread' });
    expect(deaths.death(77, SEGV, 'unseen')).toEqual({
      pid: 77,
      tid: 77,
      comm: 'unseen',
      signal: 'SIGSEGV',
      timeNs: null,
      evidence: 'main-thread',
    });
  });

  it('is forgotten with its process', () => {
    const { deaths } = watch();
    deaths.signalDelivered(10, SEGV, { tid: 12, comm: 'victim', timeNs: 98n });
    deaths.forget(10);
    expect(deaths.death(10, SEGV, 'p').tid).toBe(10);
  });
});

describe('a watched process', () => {
  it('is reported with its status once it has ended', async () => {
    const { deaths, poller } = watch();
    const command = await spawnGated(['/bin/sh', '-c', 'kill -ABRT $$']);
    deaths.watch(command.pid);
    expect(deaths.isWaiting).toBe(true);
    command.open();
    await command.ended;
    expect(deaths.collect(poller.wait(1000))).toEqual([{ pid: command.pid, status: { code: null, signal: 6 } }]);
    expect(deaths.isWaiting).toBe(false);
  });

  it('beyond the descriptors that may be used is counted, as is one that is gone already', async () => {
    const { deaths } = watch(1);
    deaths.watch(process.pid);
    deaths.watch(process.ppid);
    expect(deaths.unknownEnds).toBe(1);
    deaths.close();
    const other = watch().deaths;
    other.watch(2 ** 22 + 1);
    expect(other.unknownEnds).toBe(1);
  });
});

it('signals have their names', () => {
  expect([11, 6, 9, 7, 64].map(signalName)).toEqual(['SIGSEGV', 'SIGABRT', 'SIGKILL', 'SIGBUS', 'SIG64']);
});
