import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { signalName } from '../abi/signal.ts';
import { exitOf } from '../base/testing/waiting.ts';
import { spawnGated } from '../linux/gated-command.ts';
import { Poller } from '../linux/poller.ts';
import { DeathWatch } from './death-watch.ts';

const SEGV = 11;
const KILL = 9;
const unseen = () => undefined;

function watch(maxFds = 8): { deaths: DeathWatch; poller: Poller } {
  const poller = new Poller();
  return { deaths: new DeathWatch(poller, maxFds), poller };
}

describe('the thread that took a signal', () => {
  it('is the one that the tracepoint names', () => {
    const { deaths } = watch();
    deaths.threadExited(10, { tid: 10, comm: 'main', timeNs: 99n });
    deaths.signalDelivered(10, SEGV, { tid: 12, comm: 'victim', timeNs: 98n });
    expect(deaths.death(10, SEGV, 'p', unseen)).toEqual({
      pid: 10,
      tid: 12,
      comm: 'victim',
      signal: 'SIGSEGV',
      timeNs: 98,
      evidence: 'signal-deliver',
    });
  });

  it('is otherwise the first to exit at the end, not one that exited long before', () => {
    const { deaths } = watch();
    deaths.threadExited(10, { tid: 11, comm: 'old', timeNs: 1n });
    deaths.threadExited(10, { tid: 10, comm: 'main', timeNs: 60_000_000_200n });
    deaths.threadExited(10, { tid: 12, comm: 'victim', timeNs: 60_000_000_100n });
    expect(deaths.death(10, SEGV, 'p', unseen)).toMatchObject({ tid: 12, comm: 'victim', evidence: 'first-exit' });
  });

  it('is the one that was running before the others were woken to exit, even where one of those exits first', () => {
    const { deaths } = watch();
    deaths.threadExited(10, { tid: 12, comm: 'woken', timeNs: 60_000_000n });
    deaths.threadExited(10, { tid: 11, comm: 'victim', timeNs: 60_000_100n });
    deaths.threadExited(10, { tid: 10, comm: 'main', timeNs: 60_000_200n });
    const startNs = new Map([
      [11, 59_900_000],
      [12, 59_990_000],
      [10, 60_000_050],
    ]);
    expect(deaths.death(10, SEGV, 'p', (tid) => startNs.get(tid))).toMatchObject({ tid: 11, evidence: 'first-exit' });
  });

  it('is the first to exit of two that had both been running for long', () => {
    const { deaths } = watch();
    deaths.threadExited(10, { tid: 11, comm: 'victim', timeNs: 60_000_000n });
    deaths.threadExited(10, { tid: 12, comm: 'busy', timeNs: 60_000_100n });
    deaths.threadExited(10, { tid: 10, comm: 'main', timeNs: 60_000_200n });
    const startNs = new Map([
      [12, 10_000_000],
      [11, 40_000_000],
      [10, 60_000_050],
    ]);
    expect(deaths.death(10, SEGV, 'p', (tid) => startNs.get(tid))).toMatchObject({ tid: 11, evidence: 'first-exit' });
  });

  it('is the main thread for SIGKILL, and where exits are seen in no order', () => {
    const { deaths } = watch();
    for (const tid of [12, 10]) deaths.threadExited(10, { tid, comm: `t${tid}`, timeNs: 5n });
    deaths.signalDelivered(10, KILL, { tid: 12, comm: 't12', timeNs: 4n });
    expect(deaths.death(10, KILL, 'p', unseen)).toMatchObject({ tid: 10, evidence: 'main-thread' });
    expect(deaths.death(10, SEGV, 'p', undefined)).toMatchObject({ tid: 10, evidence: 'main-thread' });
    expect(deaths.death(77, SEGV, 'unseen', unseen)).toEqual({
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
    expect(deaths.death(10, SEGV, 'p', unseen).tid).toBe(10);
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

  it('that ended before it could be watched ended by its last fatal signal, or its end stays unknown', () => {
    const { deaths } = watch();
    const [delivered, undelivered] = [2 ** 22 + 1, 2 ** 22 + 2];
    for (const pid of [delivered, undelivered]) deaths.watch(pid);
    expect(deaths.collect([])).toEqual([]);
    deaths.signalDelivered(delivered, SEGV, { tid: delivered, comm: 'a', timeNs: 1n });
    deaths.signalDelivered(delivered, KILL, { tid: delivered + 9, comm: 'a', timeNs: 2n });
    for (const pid of [delivered, undelivered]) deaths.threadExited(pid, { tid: pid, comm: 'a', timeNs: 3n });
    expect(deaths.collect([])).toEqual([{ pid: delivered, status: { code: null, signal: SEGV } }]);
    expect(deaths.unknownEnds).toBe(1);
    expect(deaths.isWaiting).toBe(false);
  });

  it('beyond the limit of descriptors is counted when it ends', () => {
    const { deaths } = watch(1);
    deaths.watch(process.pid);
    deaths.watch(process.ppid);
    deaths.threadExited(process.ppid, { tid: process.ppid, comm: 'a', timeNs: 3n });
    expect(deaths.collect([])).toEqual([]);
    expect(deaths.unknownEnds).toBe(1);
    deaths.close();
  });
});

it('every signal of a wait status has a name', () => {
  expect([11, 6, 9, 7, 64].map(signalName)).toEqual(['SIGSEGV', 'SIGABRT', 'SIGKILL', 'SIGBUS', 'SIG64']);
});

describe('a process that is not recorded any more', () => {
  const descriptors = () => readdirSync('/proc/self/fd').length;

  it('costs no descriptor while it lives, and can be watched again', async () => {
    const { deaths, poller } = watch();
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    const before = descriptors();
    deaths.watch(child.pid!);
    expect(descriptors()).toBe(before + 1);
    deaths.unwatch(child.pid!);
    expect([descriptors(), deaths.isWaiting]).toEqual([before, false]);
    deaths.watch(child.pid!);
    child.kill('SIGKILL');
    await exitOf(child, 'sleep(1)');
    expect(deaths.collect(poller.wait(1000)).map(({ pid }) => pid)).toEqual([child.pid]);
    deaths.close();
    poller.close();
  });
});
