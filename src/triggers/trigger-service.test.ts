import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { records } from '../engine/testing/scripted-source.ts';
import { noteOwnProcess } from '../linux/own-processes.ts';
import { idOf, Sleepers, scriptedAttachments } from '../session/testing/scripted-attachments.ts';
import { type TakeSnapshot, TriggerService } from './trigger-service.ts';

const SECOND_NS = 1e9;

/** A service that notes the reason of each snapshot and takes none. */
function service(take?: TakeSnapshot) {
  const scripted = scriptedAttachments();
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-desk-'));
  const taken: string[] = [];
  const log: string[] = [];
  const note: TakeSnapshot = async ({ why }) => void taken.push(why);
  const triggers = new TriggerService(scripted, take ?? note, (line) => log.push(line));
  onTestFinished(() => {
    triggers.close();
    scripted[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  return { ...scripted, triggers, directory, taken, log };
}

const often = { atMost: { count: 1000, perMs: 1000 } };

describe('the death of a process', () => {
  it('is passed on once, by the signal or by the end, whichever is known first', async () => {
    const { triggers, directory, taken } = service();
    triggers.add('exit-signal', often, directory);
    const now = Number(process.hrtime.bigint());
    triggers.signalDelivered(7, 7, 'web', 11, now);
    for (const tid of [8, 9]) triggers.signalDelivered(7, tid, 'web', 9, now + tid);
    triggers.tick(now + SECOND_NS);
    triggers.processEnded({ pid: 7, status: { code: null, signal: 11 } }, now + SECOND_NS);
    triggers.tick(now + 2 * SECOND_NS);
    triggers.processEnded({ pid: 8, status: { code: null, signal: 11 } }, now + 3 * SECOND_NS);
    triggers.tick(now + 4 * SECOND_NS);
    await new Promise((done) => setImmediate(done));
    expect(taken).toHaveLength(2);
    expect(triggers.list()[0]).toMatchObject({ fired: 2 });
  });

  it('is taken from its end where threads took SIGKILL, which the kernel also sends at an exit and an exec', () => {
    const { triggers, directory } = service();
    const fired = () => triggers.list().map((trigger) => trigger.fired);
    for (const on of ['exit-signal', 'exit-signal:TERM', 'exit-status']) triggers.add(on, often, directory);
    for (const tid of [7, 8]) triggers.signalDelivered(7, tid, 'web', 9, SECOND_NS);
    expect(fired()).toEqual([0, 0, 0]);
    triggers.processEnded({ pid: 7, status: { code: 0, signal: null } }, 2 * SECOND_NS);
    expect(fired()).toEqual([0, 0, 0]);
    triggers.processEnded({ pid: 7, status: { code: 3, signal: null } }, 3 * SECOND_NS);
    expect(fired()).toEqual([0, 0, 1]);
    triggers.processEnded({ pid: 7, status: { code: null, signal: 15 } }, 4 * SECOND_NS);
    expect(fired()).toEqual([1, 1, 1]);
  });

  it('is passed on for a process that reuses the PID of one whose end was never read', async () => {
    const { triggers, directory } = service();
    triggers.add('exit-signal', often, directory);
    triggers.signalDelivered(7, 7, 'web', 11, SECOND_NS);
    triggers.signalDelivered(7, 7, 'other', 11, 3600 * SECOND_NS);
    expect(triggers.list()[0]).toMatchObject({ fired: 2 });
  });

  it('of ringkeep’s own work fires no trigger', async () => {
    const { triggers, directory } = service();
    triggers.add('exit-signal', often, directory);
    const [own, other] = [spawn('sleep', ['60']), spawn('sleep', ['60'])];
    noteOwnProcess(own);
    for (const child of [own, other]) {
      triggers.signalDelivered(child.pid!, child.pid!, 'sleep', 15, SECOND_NS);
      child.kill('SIGKILL');
      await once(child, 'exit');
      triggers.processEnded({ pid: child.pid!, status: { code: null, signal: 9 } }, 2 * SECOND_NS);
    }
    expect(triggers.list()[0]).toMatchObject({ fired: 1 });
  });

  it('whose end is never read takes bounded memory', () => {
    const { triggers, directory } = service();
    triggers.add('exit-signal', often, directory);
    // Beyond the largest PID of Linux (PID_MAX_LIMIT), so that none is a process of this machine.
    const beyond = 2 ** 22;
    const die = (nth: number, tid = nth, afterNs = nth) =>
      triggers.signalDelivered(beyond + nth, beyond + tid, 'web', 11, SECOND_NS + afterNs);
    for (let nth = 1; nth <= 5000; nth++) die(nth);
    // The first was forgotten, and is passed on again; the last was not.
    die(5000, 5001, 6000);
    expect(triggers.list()[0]).toMatchObject({ fired: 5000 });
    die(1, 1, 6001);
    expect(triggers.list()[0]).toMatchObject({ fired: 5001 });
  });
});

describe('a tracepoint', () => {
  it('fires for recorded threads: not for unknown ones, not for removed events, not after the trigger was removed', async () => {
    await using sleepers = new Sleepers();
    const [kept, removed, unknown] = [await sleepers.start(), await sleepers.start(), await sleepers.start()];
    const { triggers, directory, attacher, recorder } = service();
    for (const pid of [kept, removed]) attacher.attach({ kind: 'pid', pid });
    recorder.threads.remove(recorder.threads.get(removed)!);
    const { id } = triggers.add('tracepoint:sched:sched_switch', often, directory);
    // The source counts its ids.
    const sampleId = Number(idOf(recorder.threads.get(removed)!.inheritance.eventSet!)) + 1;
    for (const pid of [kept, removed, unknown]) triggers.foreignSample(pid, pid, SECOND_NS, sampleId);
    triggers.foreignSample(kept, kept, SECOND_NS, sampleId + 1);
    expect(triggers.list()[0]).toMatchObject({ fired: 1 });
    triggers.remove(id);
    triggers.foreignSample(kept, kept, SECOND_NS, sampleId);
    expect(triggers.list()).toEqual([]);
    expect(() => triggers.remove(id)).toThrow(expect.objectContaining({ code: 'no-such-trigger' }));
  });
});

it('a trigger whose snapshot fails reports it, and affects no other', async () => {
  const { triggers, directory, log } = service(async ({ path }) => {
    if (path.includes('exit-signal')) throw new RingkeepError('output-unwritable', 'there is no room', {});
  });
  triggers.add('exit-signal', often, directory);
  triggers.add('exit-status', often, directory);
  const now = Number(process.hrtime.bigint());
  triggers.processEnded({ pid: 7, status: { code: null, signal: 11 } }, now);
  triggers.processEnded({ pid: 8, status: { code: 3, signal: null } }, now);
  triggers.tick(now + SECOND_NS);
  await new Promise((done) => setImmediate(done));
  const [refused, taken] = triggers.list();
  expect(refused).toMatchObject({ lastError: 'there is no room', lastSnapshot: null });
  expect(taken).toMatchObject({ lastError: null, lastSnapshot: expect.stringContaining('exit-status') });
  expect(log.filter((line) => line.includes('no snapshot'))).toHaveLength(1);
});

it('watches the switches of threads that a trigger selects, by their present names', async () => {
  await using sleepers = new Sleepers();
  const pid = await sleepers.start();
  const { triggers, directory, attacher, recorder, source } = service();
  attacher.attach({ kind: 'pid', pid });
  const thread = recorder.threads.get(pid)!;
  const { id } = triggers.add('stall>200ms', { comm: 'web*' }, directory);
  expect(thread.isWatched).toBe(false);
  const at = { tid: pid, pid, time: Number(process.hrtime.bigint()), id: idOf(thread.inheritance.eventSet!) };
  source.put(0, records.comm(at, 'web-1'));
  recorder.drain();
  triggers.threadNamed(thread);
  expect(thread.isWatched).toBe(true);
  triggers.remove(id);
  expect(thread.isWatched).toBe(false);
});
