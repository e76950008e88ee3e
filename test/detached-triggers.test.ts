/** Triggers, each by the event that fires it: real deaths, stalls and tracepoints; and the bounds on what they save. */
import { existsSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../src/base/testing/waiting.ts';
import type { UpReport } from '../src/daemon/background-process.ts';
import type { TriggerStatus } from '../src/triggers/trigger-status.ts';
import { Daemon, isRunning } from './testing/daemon.ts';
import { perfScript } from './testing/perf-reading.ts';
import { Puppet } from './testing/puppet.ts';
import { show } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

async function attached(): Promise<{ daemon: Daemon; puppet: Puppet }> {
  const daemon = await Daemon.lent();
  const puppet = await Puppet.start();
  await daemon.json('attach', '-p', String(puppet.pid));
  return { daemon, puppet };
}

async function addTrigger(daemon: Daemon, ...args: readonly string[]): Promise<TriggerStatus> {
  return daemon.json<TriggerStatus>('trigger', 'add', '--on', ...args);
}

/** The trigger, as soon as `isWanted` holds of it. */
async function untilTrigger(daemon: Daemon, id: number, isWanted: (trigger: TriggerStatus) => unknown) {
  const find = async () => (await daemon.client.triggers()).find((trigger) => trigger.id === id)!;
  return daemon.until(find, isWanted);
}

/** The trigger with its snapshot; an error where one could not be saved. */
async function untilSaved(daemon: Daemon, id: number): Promise<TriggerStatus & { lastSnapshot: string }> {
  const saved = await untilTrigger(daemon, id, ({ lastSnapshot, lastError }) => lastSnapshot ?? lastError);
  expect(saved.lastError).toBeNull();
  return saved as TriggerStatus & { lastSnapshot: string };
}

describe('exit-signal', () => {
  test('saves the death of a process with the thread that took the signal, and the rings of its exited threads', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { daemon, puppet } = await attached();
    const sleeper = await puppet.thread('sleeper');
    const { id } = await addTrigger(daemon, 'exit-signal:SEGV');
    puppet.send('crash SIGSEGV');
    const victim = await puppet.answer('victim');

    const { lastSnapshot, fired, suppressed, lastFiredWallMs } = await untilSaved(daemon, id);
    expect({ fired, suppressed }).toEqual({ fired: 1, suppressed: 0 });
    expect(lastFiredWallMs).toBeGreaterThan(0);
    expect(lastSnapshot).toMatch(
      new RegExp(`snapshots/\\d{8}T\\d{6}\\.\\d{3}Z-exit-signal-${puppet.pid}\\.perf\\.data$`),
    );
    expect(statSync(lastSnapshot).mode & 0o777).toBe(0o600);
    expect(statSync(daemon.file('snapshots')).mode & 0o777).toBe(0o700);
    const report = show(lastSnapshot);
    expect(report).toMatchObject({ reason: 'death', damage: [] });
    expect(report.death).toMatchObject({ pid: puppet.pid, tid: victim, comm: 'victim', signal: 'SIGSEGV' });
    expect(report.threads[0]).toMatchObject({ tid: victim, tookSignal: true });
    expect(report.threads.map(({ tid }) => tid)).toEqual(expect.arrayContaining([puppet.pid, sleeper, victim]));
    perfScript(lastSnapshot);
    // The text output begins with the death.
    const text = await daemon.run(['show', lastSnapshot]);
    expect(text.stdout).toContain(`(puppet) died of SIGSEGV in thread ${victim} (victim)`);
  });

  test('fires for children and for SIGKILL, and for the signals it names only', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { daemon, puppet } = await attached();
    const ofKills = await addTrigger(daemon, 'exit-signal:KILL', '--comm', 'child*', '--at-most', '9/1s');
    const ofCrashes = await addTrigger(daemon, 'exit-signal:SEGV,ABRT');
    const child = await puppet.fork('child-1');
    await daemon.untilEvents((all) => all.some(({ comm }) => comm === 'child-1'));
    process.kill(child, 'SIGKILL');
    const { lastSnapshot } = await untilSaved(daemon, ofKills.id);
    expect(show(lastSnapshot).death).toMatchObject({ pid: child, comm: 'child-1', signal: 'SIGKILL' });
    const triggers = await daemon.client.triggers();
    expect(triggers.find(({ id }) => id === ofCrashes.id)).toMatchObject({ fired: 0, lastSnapshot: null });
  });
});

test('a process with threads dies of its own signal, though the kernel sends each thread SIGKILL: also after an exec', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.lent();
  const [terminated, becoming] = [await Puppet.start(), await Puppet.start()];
  for (const puppet of [terminated, becoming]) {
    await puppet.thread('beside');
    await daemon.json('attach', '-p', String(puppet.pid));
  }
  const all = await addTrigger(daemon, 'exit-signal', '--at-most', '9/1s');
  const ofTerm = await addTrigger(daemon, 'exit-signal:TERM');
  const ofCrash = await addTrigger(daemon, 'exit-signal:SEGV');
  const next = daemon.file('next');
  symlinkSync(testProgram('puppet'), next);
  becoming.send(`exec ${next}`);
  await becoming.answer('ready');
  terminated.kill('SIGTERM');
  const { lastSnapshot } = await untilSaved(daemon, ofTerm.id);
  expect(show(lastSnapshot).death).toMatchObject({ pid: terminated.pid, signal: 'SIGTERM' });
  becoming.send('end SIGSEGV');
  expect(show((await untilSaved(daemon, ofCrash.id)).lastSnapshot).death).toMatchObject({
    pid: becoming.pid,
    signal: 'SIGSEGV',
  });
  expect((await untilTrigger(daemon, all.id, () => true)).fired).toBe(2);
});

test('exit-status fires when a process exits with that status, and not for another status or a signal', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.lent();
  const ofSignals = await addTrigger(daemon, 'exit-signal');
  const trigger = await addTrigger(daemon, 'exit-status:3');
  const any = await addTrigger(daemon, 'exit-status', '--at-most', '9/1s');
  const ends = { 'exit-0': await Puppet.start(), 'exit-4': await Puppet.start(), 'exit-3': await Puppet.start() };
  for (const puppet of Object.values(ends)) {
    await puppet.thread('beside');
    await daemon.json('attach', '-p', String(puppet.pid));
  }
  for (const [how, puppet] of Object.entries(ends)) {
    puppet.send(`end ${how}`);
    await puppet.ended();
  }
  const { lastSnapshot, fired } = await untilSaved(daemon, trigger.id);
  expect(fired).toBe(1);
  expect(lastSnapshot).toMatch(new RegExp(`-exit-status-${ends['exit-3'].pid}\\.perf\\.data$`));
  const tids = show(lastSnapshot).threads.map(({ tid }) => tid);
  expect(tids).toContain(ends['exit-3'].pid);
  await untilTrigger(daemon, any.id, (status) => status.fired === 2);
  expect((await untilTrigger(daemon, ofSignals.id, () => true)).fired).toBe(0);
});

test('stall fires once when a thread of that name is off the CPU for longer', async (context) => {
  needs(context, 'gcc', 'perf events');
  const { daemon, puppet } = await attached();
  const heart = await puppet.thread('heartbeat');
  await puppet.thread('another');
  await daemon.untilEvents((all) => all.some(({ tid, records }) => tid === heart && records > 20));
  // Longer than a thread that naps for 2 ms waits for a CPU under load.
  const { id } = await addTrigger(daemon, 'stall>3s', '--comm', 'heart*', '--pre', '1s', '--post', '100ms');
  puppet.send(`stun ${heart}`);
  const { lastSnapshot, fired } = await untilSaved(daemon, id);
  expect(fired).toBe(1);
  await puppet.answer('stunned');
  const threads = show(lastSnapshot).threads;
  expect(show(lastSnapshot)).toMatchObject({ reason: 'trigger', death: null });
  // It has no record in the second before the firing: its last switch before that is in the snapshot.
  const stunned = threads.find(({ tid }) => tid === heart);
  expect(stunned).toMatchObject({ timesFrom: 'switches', unknownNs: 0 });
  expect(threads.map(({ comm }) => comm)).toEqual(expect.arrayContaining(['heartbeat', 'another']));
  expect((await untilTrigger(daemon, id, () => true)).fired).toBe(1);
});

test('stall fires for a thread that slept already when the trigger was added', async (context) => {
  needs(context, 'gcc', 'perf events');
  const { daemon, puppet } = await attached();
  const earlier = await addTrigger(daemon, 'stall>200ms', '--tid', String(puppet.pid));
  await untilSaved(daemon, earlier.id);
  // Also for one that is attached to later.
  const other = await Puppet.start();
  const { id } = await addTrigger(daemon, 'stall>200ms', '--pid', String(other.pid));
  await daemon.json('attach', '-p', String(other.pid));
  expect((await untilSaved(daemon, id)).fired).toBe(1);
  expect((await untilTrigger(daemon, earlier.id, () => true)).fired).toBe(1);
});

test('tracepoint fires when a recorded thread hits it and the kernel’s filter matches', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'tracefs');
  const daemon = await Daemon.lent();
  const [wanted, unwanted] = [daemon.file('wanted'), daemon.file('other')];
  for (const path of [wanted, unwanted]) symlinkSync(testProgram('puppet'), path);
  const { id } = await addTrigger(daemon, 'tracepoint:sched:sched_process_exec/filename ~ "*wanted"/');
  const puppet = await Puppet.start();
  await daemon.json('attach', '-p', String(puppet.pid));
  // A thread that is not recorded does not fire it.
  const stranger = await Puppet.start();
  for (const [who, path] of [
    [stranger, wanted],
    [puppet, unwanted],
    [puppet, wanted],
  ] as const) {
    who.send(`exec ${path}`);
    await who.answer('ready');
  }
  const { lastSnapshot, fired, suppressed } = await untilSaved(daemon, id);
  expect({ fired, suppressed }).toEqual({ fired: 1, suppressed: 0 });
  expect(lastSnapshot).toMatch(new RegExp(`-tracepoint-${puppet.pid}\\.perf\\.data$`));
  expect(await daemon.run(['trigger', 'rm', String(id)])).toMatchObject({ status: 0, stderr: '' });
  const [cause] = await daemon.refused(['trigger', 'rm', String(id)]);
  expect(cause).toBe(`There is no trigger ${id}.`);
});

test('triggers are kept when a recorder is killed; a snapshot that is due is saved when the next one ends', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.up();
  const puppet = await Puppet.start();
  await daemon.json('attach', '-p', String(puppet.pid));
  const directory = daemon.file('kept');
  const { on, options } = await addTrigger(daemon, 'exit-status:3', '--comm', 'p*', '--post', '1h', '--dir', directory);
  process.kill(daemon.pid, 'SIGKILL');
  await until('the killed recorder to be gone', () => !isRunning(daemon.pid));
  onTestFinished(() => void daemon.run(['down']));
  expect((await daemon.json<UpReport>('up')).adoption).toMatchObject({ alive: 1 });
  const [trigger] = await daemon.client.triggers();
  expect(trigger).toMatchObject({ on, options, fired: 0 });
  puppet.send('end exit-3');
  await untilTrigger(daemon, trigger!.id, ({ fired }) => fired === 1);
  expect(readdirSync(directory)).toEqual([]);
  expect(await daemon.run(['down'])).toMatchObject({ status: 0, stderr: '' });
  const [saved] = readdirSync(directory);
  expect(show(join(directory, saved!)).threads.map(({ tid }) => tid)).toEqual([puppet.pid]);
});

describe('what a trigger saves is bounded', () => {
  test('in rate: a trigger that fires beyond it is counted, and saves nothing', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { daemon, puppet } = await attached();
    const directory = daemon.file('rated');
    const { id } = await addTrigger(daemon, 'exit-signal', '--at-most', '2/1h', '--dir', directory);
    for (let count = 0; count < 5; count++) {
      const child = await puppet.fork(`child-${count}`);
      await daemon.untilEvents((all) => all.some(({ tid }) => tid === child));
      process.kill(child, 'SIGKILL');
      await untilTrigger(daemon, id, ({ fired, suppressed }) => fired + suppressed >= count + 1);
    }
    const trigger = await untilTrigger(daemon, id, ({ suppressed }) => suppressed === 3);
    expect(trigger).toMatchObject({ lastError: null, options: { atMost: { count: 2, perMs: 3_600_000 } } });
    await untilSaved(daemon, id);
    await daemon.until(
      async () => readdirSync(directory).filter((name) => name.endsWith('.perf.data')),
      ({ length }) => length === 2,
    );
    const table = await daemon.run(['trigger', 'ls']);
    expect(table).toMatchObject({ status: 0, stderr: '' });
    expect(table.stdout).toContain('exit-signal');
  });

  test('in number: the newest of its snapshots are kept, and other files in the directory', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { daemon, puppet } = await attached();
    const directory = daemon.file('snapshots');
    const { id } = await addTrigger(daemon, 'exit-signal', '--at-most', '99/1s', '--keep', '2');
    writeFileSync(join(directory, 'notes.perf.data'), 'not ours');
    const paths: string[] = [];
    for (let count = 0; count < 4; count++) {
      const child = await puppet.fork(`child-${count}`);
      await daemon.untilEvents((all) => all.some(({ tid }) => tid === child));
      process.kill(child, 'SIGKILL');
      const { lastSnapshot } = await untilTrigger(
        daemon,
        id,
        ({ lastSnapshot: path }) => path && !paths.includes(path),
      );
      paths.push(lastSnapshot!);
    }
    await daemon.until(
      async () => readdirSync(directory),
      ({ length }) => length === 3,
    );
    expect(paths.filter((path) => existsSync(path))).toEqual(paths.slice(2));
    expect(existsSync(join(directory, 'notes.perf.data'))).toBe(true);
  });

  test('in syntax: a wrong trigger is refused, and none is added', async (context) => {
    needs(context, 'perf events');
    const daemon = await Daemon.lent();
    for (const on of ['exit-signal:NONE', 'stall>fast', 'psi:disk>1ms/1s', 'never']) {
      expect(await daemon.run(['trigger', 'add', '--on', on])).toMatchObject({ status: 2, stdout: '' });
    }
    expect(await daemon.client.triggers()).toEqual([]);
  });
});
