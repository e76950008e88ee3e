/**
 * What is recorded of a running program: its threads, those it starts later, its children, and the program after an
 * exec; by pid, tid, name, cgroup or all together. And what is refused.
 */
import { mkdirSync, readFileSync, rmdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../src/base/testing/waiting.ts';
import type { AttachmentStatus, EventStatus } from '../src/session/control.ts';
import { Daemon, isRunning } from './testing/daemon.ts';
import { perf, perfScript } from './testing/perf-reading.ts';
import { Puppet } from './testing/puppet.ts';
import { show } from './testing/ringkeep.ts';
import { cgroupHierarchy, needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const tidsOf = (events: readonly EventStatus[]) => events.map(({ tid }) => tid).sort((a, b) => a - b);

async function snapshot(daemon: Daemon, ...selection: readonly string[]): Promise<string> {
  const output = daemon.file('attached.perf.data');
  await daemon.json('snapshot', ...selection, '-o', output);
  return output;
}

describe('attach -p', () => {
  test('records threads and children that exist and those that start later, with their names', async (context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.lent();
    const puppet = await Puppet.start();
    const early = await puppet.thread('early');
    const [attached] = await daemon.json<AttachmentStatus[]>('attach', '-p', String(puppet.pid), '--name', 'web');
    expect(attached).toMatchObject({ name: 'web', pmu: 'software', threads: 2, unrecorded: 0, degraded: [] });

    const late = await puppet.thread('late');
    const child = await puppet.fork('child');
    await puppet.burn(200);
    const tids = [puppet.pid, early, late, child].sort((a, b) => a - b);
    const events = await daemon.untilEvents((all) => all.length === 4 && all.every(({ records }) => records > 5));
    expect(tidsOf(events)).toEqual(tids);
    expect(events.every(({ attachment, alive, lost }) => attachment === 'web' && alive && lost === 0)).toBe(true);
    expect(events.find(({ tid }) => tid === child)).toMatchObject({ pid: child, comm: 'child' });
    expect(events.find(({ tid }) => tid === late)).toMatchObject({ pid: puppet.pid, comm: 'late' });

    const output = await snapshot(daemon);
    const report = show(output);
    expect(report.damage).toEqual([]);
    expect(report.threads.map(({ tid, comm }) => [tid, comm]).sort()).toEqual(
      [
        [puppet.pid, 'puppet'],
        [early, 'early'],
        [late, 'late'],
        [child, 'child'],
      ].sort(),
    );
    // By the mappings that existed before attach, perf names what main was doing.
    const samples = perf('whole', 'script', '-i', output, '-F', 'comm,tid,ip,sym,dso', '--tid', String(puppet.pid));
    expect(samples).toMatch(/^puppet +\d+/m);
    expect(samples).toContain(`(${testProgram('puppet')})`);
    expect(samples).toMatch(/\bburn\b/);
    perfScript(output);
    expect(perf('whole', 'script', '-i', output, '--show-mmap-events')).toMatch(/PERF_RECORD_MMAP2 .*libc/);
  });

  test('keeps the event and its file over an exec', async (context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.lent();
    const puppet = await Puppet.named(daemon.place, 'larva');
    const path = daemon.file('moth');
    symlinkSync(testProgram('puppet'), path);
    await puppet.thread('left-behind');
    await daemon.json('attach', '-p', String(puppet.pid));
    const [before] = await daemon.untilEvents((events) => events.every(({ records }) => records > 0));
    expect(before).toMatchObject({ tid: puppet.pid, comm: 'larva' });
    const { ino } = statSync(before!.path);

    puppet.send(`exec ${path}`);
    expect(await puppet.answer('ready')).toBe(puppet.pid);
    const after = await daemon.untilEvents((events) => events.some(({ comm }) => comm === 'moth'));
    expect(after.filter(({ alive }) => alive)).toMatchObject([{ path: before!.path, tid: puppet.pid, comm: 'moth' }]);
    expect(statSync(before!.path).ino).toBe(ino);
    const output = await snapshot(daemon, '-t', String(puppet.pid));
    const execs = perfScript(output).filter(({ text }) => text.startsWith('PERF_RECORD_COMM exec: moth'));
    expect(execs).toHaveLength(1);
    // The ring still has records from before the exec.
    expect(BigInt(show(output).threads[0]!.firstNs!)).toBeLessThanOrEqual(BigInt(before!.firstNs!));
  });
});

test('a child that runs its parent’s program is decoded after the parent’s ring was evicted', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.up(['--keep-dead', '16KiB']);
  const parent = await Puppet.start();
  await daemon.json('attach', '-p', String(parent.pid));
  parent.send('orphan 60000');
  const child = await parent.answer('child');
  onTestFinished(() => void (isRunning(child) && process.kill(child, 'SIGKILL')));
  parent.send('end exit-0');
  await parent.ended();
  // Rings of threads that exit later evict the parent's.
  const other = await Puppet.start();
  await daemon.json('attach', '-p', String(other.pid));
  for (let count = 0; count < 5; count++) {
    other.send(`hush ${await other.thread('short-lived')}`);
    await other.answer('hushed');
  }
  await daemon.untilEvents((all) => !all.some(({ tid }) => tid === parent.pid));
  await daemon.untilEvents((all) => all.some(({ tid, records }) => tid === child && records > 20));
  const output = await snapshot(daemon, '-t', String(child));
  const samples = perf('whole', 'script', '-i', output, '-F', 'comm,tid,ip,sym,dso', '--tid', String(child));
  expect(samples).toContain(`burn (${testProgram('puppet')})`);
});

test('attach -t records that thread and the threads it starts, and no other of its process', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.lent();
  const puppet = await Puppet.start();
  const chosen = await puppet.thread('chosen');
  await puppet.thread('neighbour');
  await daemon.json('attach', '-t', String(chosen));
  await puppet.thread('later');
  const events = await daemon.untilEvents((all) => all.some(({ records }) => records > 20));
  expect(events).toMatchObject([{ tid: chosen, pid: puppet.pid, comm: 'chosen' }]);
  // Of main there are the side-band records of the process only.
  const did = show(await snapshot(daemon)).threads.filter(({ switchesOut }) => switchesOut !== 0);
  expect(did.map(({ tid }) => tid)).toEqual([chosen]);
});

test('attach --comm records the processes of that name, also those that start later', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.lent();
  const first = await Puppet.named(daemon.place, 'marionette-1');
  const other = await Puppet.start();
  const [attached] = await daemon.json<AttachmentStatus[]>('attach', '--comm', 'marionette*');
  expect(attached).toMatchObject({ threads: 1, target: { kind: 'comm', glob: 'marionette*' } });
  const second = await Puppet.named(daemon.place, 'marionette-2');
  const ofSecond = await second.thread('string');
  const events = await daemon.untilEvents((all) => all.length === 3);
  expect(tidsOf(events)).toEqual([first.pid, second.pid, ofSecond].sort((a, b) => a - b));
  expect(tidsOf(events)).not.toContain(other.pid);
});

test('a removed event is not created again by the name that its thread matches', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.lent();
  const puppet = await Puppet.named(daemon.place, 'marionette');
  const thread = await puppet.thread('string');
  await daemon.json('attach', '--comm', 'marionette', '--name', 'dolls');
  await daemon.run(['rm', `dolls/software/${puppet.pid}`]);
  // Names are matched once a second, and events without a thread are closed at the second scan.
  const later = await Puppet.named(daemon.place, 'marionette-b');
  await daemon.json('attach', '--comm', 'marionette-?', '--name', 'others');
  for (let looks = 0; looks < 3; looks++) {
    const next = daemon.file(`marionette-${looks}`);
    symlinkSync(testProgram('puppet'), next);
    const another = await Puppet.start({ path: next });
    await daemon.untilEvents((events) => events.some(({ tid }) => tid === another.pid));
  }
  const events = await daemon.client.events();
  expect(tidsOf(events)).toContain(later.pid);
  expect(events.filter(({ attachment }) => attachment === 'dolls').map(({ tid }) => tid)).toEqual([thread]);
});

test('attach --cgroup records the processes in the cgroup, and those that enter it later', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'cgroups');
  const daemon = await Daemon.lent();
  const name = `ringkeep-test-${process.pid}`;
  const directory = join(cgroupHierarchy()!, name);
  mkdirSync(directory);
  onTestFinished(() => removeCgroup(directory));
  const enter = ({ pid }: Puppet) => writeFileSync(join(directory, 'cgroup.procs'), String(pid));
  const [inside, outside] = [await Puppet.start(), await Puppet.start()];
  enter(inside);
  const [attached] = await daemon.json<AttachmentStatus[]>('attach', '--cgroup', directory);
  expect(attached).toMatchObject({ threads: 1, target: { kind: 'cgroup', path: directory } });
  enter(outside);
  const child = await inside.fork('child');
  const events = await daemon.untilEvents((all) => all.length === 3);
  expect(tidsOf(events)).toEqual([inside.pid, outside.pid, child].sort((a, b) => a - b));
  expect((await daemon.run(['attach', '--cgroup', `${directory}-none`])).stderr).toContain('is not a readable cgroup');
});

/** Its processes are killed first, which takes the kernel a moment. */
async function removeCgroup(directory: string): Promise<void> {
  for (const pid of readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
    process.kill(Number(pid), 'SIGKILL');
  }
  await until(`${directory} to be removed`, () => {
    try {
      rmdirSync(directory);
      return true;
    } catch {
      return false; // EBUSY: there is a process in it.
    }
  });
}

describe('attach is refused with cause and remedy', () => {
  test('where the process is recorded already', async (context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.lent();
    const puppet = await Puppet.start();
    const pid = String(puppet.pid);
    await daemon.json('attach', '-p', pid, '--name', 'web');
    const remedy = 'List the attachments with `ringkeep status`, and end this one with `ringkeep rm NAME`.';
    expect(await daemon.refused(['attach', '-p', pid, '--name', 'again'])).toEqual([
      `Process ${pid} is recorded already, as part of "web".`,
      remedy,
    ]);
    expect(await daemon.refused(['attach', '-t', pid])).toEqual([
      `Thread ${pid} is recorded already, as part of "web".`,
      remedy,
    ]);
    const worker = await puppet.thread('worker');
    expect(await daemon.refused(['attach', '-p', String(worker)])).toEqual([
      `${worker} is a thread of process ${pid}.`,
      `Use -t ${worker} for this thread alone, or -p ${pid} for its whole process.`,
    ]);
    const events = await daemon.untilEvents((all) => all.some(({ tid }) => tid === worker));
    rmSync(events.find(({ tid }) => tid === worker)!.path);
    await daemon.untilEvents((all) => !all.some(({ tid }) => tid === worker));
    expect(await daemon.refused(['attach', '-t', String(worker)])).toEqual([
      `Thread ${worker} belongs to "web", and its event was removed.`,
      remedy,
    ]);
    const other = await Puppet.start();
    expect(await daemon.refused(['attach', '-p', String(other.pid), '--name', 'web'])).toEqual([
      'The name "web" is already in use by an attachment.',
      remedy.replace(/\.$/, ' or use another --name.'),
    ]);
    expect((await daemon.client.status()).attachments.map(({ name }) => name)).toEqual(['web']);
  });

  test('where the process has exited', async (context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.lent();
    const puppet = await Puppet.start();
    puppet.kill('SIGKILL');
    await puppet.ended();
    const pid = String(puppet.pid);
    const remedy = 'List the threads of the machine with `ps -eLf`, or the recorded ones with `ringkeep events`.';
    expect(await daemon.refused(['attach', '-p', pid])).toEqual([`There is no process ${pid}.`, remedy]);
    expect(await daemon.refused(['attach', '-t', pid])).toEqual([`There is no thread ${pid}.`, remedy]);
    expect((await daemon.client.status()).attachments).toEqual([]);
  });

  test('where the process belongs to another user', async (context) => {
    needs(context, 'gcc', 'perf events', 'root');
    const daemon = await Daemon.up([], { as: 'nobody' });
    const puppet = await Puppet.start();
    const [cause, remedy, ...more] = await daemon.refused(['attach', '-p', String(puppet.pid)]);
    expect(cause).toMatch(/refused .*(EACCES|EPERM)\.$/);
    expect(remedy).toBe('Attach to processes of your own user, or run `ringkeep up` as root.');
    expect(more).toEqual([]);
    expect((await daemon.client.status()).attachments).toEqual([]);
    // A target by name may match processes of several users: those that are refused are counted.
    const [named] = await daemon.json<AttachmentStatus[]>('attach', '--comm', 'puppet');
    expect(named!.threads).toBe(0);
    const count = expect.stringMatching(/^matching processes that are not permitted to be recorded: [1-9]/);
    expect(named!.degraded).toContainEqual(count);
  });

  test('where the command line names no target, or two', async () => {
    const daemon = await Daemon.lent();
    for (const args of [[], ['-p', '1', '-a'], ['-p', '1,2', '--name', 'one']]) {
      expect(await daemon.run(['attach', ...args])).toMatchObject({ status: 2, stdout: '' });
    }
    expect(await daemon.run(['attach', '-p', '1', '--name', '../up'])).toMatchObject({ status: 2, stdout: '' });
  });
});
