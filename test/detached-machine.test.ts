/**
 * The detached recorder and what all programs of a machine or of a user share: CPUs that go offline and come back,
 * pressure, the memory that a user may lock; and all programs at once. No other test may run meanwhile.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { expect, test } from 'vitest';
import { until } from '../src/base/testing/waiting.ts';
import type { EventStatus } from '../src/session/control.ts';
import { Daemon } from './testing/daemon.ts';
import { perf } from './testing/perf-reading.ts';
import { Puppet } from './testing/puppet.ts';
import { show, start, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

test('a user with next to no locked memory records into rings that are not pinned, which is reported', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const daemon = await Daemon.up([], { as: 'nobody', through: ['prlimit', '--memlock=4096:4096'] });
  expect(daemon.report.degraded.join('\n')).toMatch(/rings are not pinned.*RLIMIT_MEMLOCK is 4KiB/);
  const puppet = await Puppet.start({ as: 'nobody' });
  const napper = await puppet.thread('napper');
  await daemon.json('attach', '-p', String(puppet.pid));
  await daemon.untilEvents((all) => all.some(({ tid, records }) => tid === napper && records > 50));
  const { stats } = await daemon.client.status();
  expect(stats).toMatchObject({ lost: 0, pins: 0, pinnedBytes: { now: 0, peak: 0, bound: 0 }, unrecordedTasks: 0 });
  expect((await daemon.client.events()).filter(({ pinned }) => pinned)).toEqual([]);
  expect(daemon.lockedBytes()).toBe(0);
});

test('psi saves when the machine is under pressure', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'pressure');
  const daemon = await Daemon.up();
  const puppet = await Puppet.start();
  await daemon.json('attach', '-p', String(puppet.pid));
  // Three threads that want the same CPU.
  for (let count = 0; count < 3; count++) {
    puppet.send('pin 0');
    await puppet.answer('thread');
  }
  await daemon.untilStatus(({ threads }) => threads === 4);
  // A window of 2 s needs no privilege.
  await daemon.json('trigger', 'add', '--on', 'psi:cpu>20ms/2s', '--at-most', '1/60s');
  const [saved] = await daemon.until(
    () => daemon.client.triggers(),
    ([trigger]) => trigger!.lastSnapshot ?? trigger!.lastError,
  );
  expect(saved!.lastError).toBeNull();
  expect(show(saved!.lastSnapshot!).threads.filter(({ comm }) => comm === 'pinned')).toHaveLength(3);
});

test('attach -a records every task of the machine except the recorder itself', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const daemon = await Daemon.up();
  const before = await Puppet.start();
  await daemon.json('attach', '-a');
  const after = await Puppet.start();
  const ofAfter = await after.thread('unnamed');
  const isThere = (tid: number) => (events: readonly EventStatus[]) => events.some((event) => event.tid === tid);
  await daemon.untilEvents((all) => [before.pid, after.pid, ofAfter].every((tid) => isThere(tid)(all)));
  const output = daemon.file('all.perf.data');
  await daemon.json('snapshot', '-o', output);
  const { threads } = show(output);
  const tids = threads.map(({ tid }) => tid);
  expect(tids).toEqual(expect.arrayContaining([before.pid, after.pid, ofAfter]));
  expect(threads.find(({ tid }) => tid === before.pid)!.comm).toBe('puppet');
  expect(threads.find(({ tid }) => tid === ofAfter)!.comm).toBe('unnamed');
  // Under load it may have a LOST record: the kernel writes it in the context of any task.
  const ofDaemon = threads.filter(({ pid }) => pid === daemon.pid);
  expect(ofDaemon.filter(({ samples, switchesOut }) => (samples ?? 0) > 0 || switchesOut !== 0)).toEqual([]);
  // Under load the kernel may lose records, of which perf then warns.
  perf((await daemon.client.status()).stats.kernelLost > 0 ? 'lossy' : 'whole', 'script', '-i', output);
});

test('attach -a keeps one ring of each process that ends, with its name', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const daemon = await Daemon.up();
  await daemon.json('attach', '-a');
  const ends = Array.from({ length: 100 }, () => spawnSync('/bin/true').pid);
  const events = await daemon.untilEvents((all) =>
    ends.every((pid) => all.some((event) => event.tid === pid && !event.alive)),
  );
  const own = events.filter(({ tid }) => ends.includes(tid));
  expect(own.map(({ tid }) => tid).sort()).toEqual(ends.toSorted());
  expect(new Set(own.map(({ comm }) => comm))).toEqual(new Set(['true']));
});

const CPU_1 = '/sys/devices/system/cpu/cpu1/online';

/** The FIFO, opened for writing as soon as a process has it open for reading. */
function openedByReader(path: string): Promise<number> {
  return until(`a reader of ${path}`, () => {
    try {
      return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      return undefined; // ENXIO: it has none yet.
    }
  });
}

test('a CPU that comes online during record is recorded, for tasks that ran before as for later ones', async (context) => {
  needs(context, 'gcc', 'perf events', 'CPU hotplug');
  const place = new Workplace();
  const work = 'taskset -pc 1 $$ >/dev/null; i=0; while [ $i -lt 600000 ]; do i=$((i+1)); done';
  const [toChild, toFirst] = [place.file('to-child'), place.file('to-first')];
  expect(spawnSync('mkfifo', [toChild, toFirst]).status).toBe(0);
  const child = `read go < ${toChild}; ${work}`;
  const command = `sh -c '${child}' & read go < ${toFirst}; sh -c '${work}'; wait`;
  const output = place.file('online.perf.data');
  writeFileSync(CPU_1, '0');
  try {
    const running = start([
      'record',
      '--json',
      '--no-names',
      '--snapshot',
      'always',
      '-o',
      output,
      '--',
      'sh',
      '-c',
      command,
    ]);
    // Both tasks run when their FIFOs have a reader.
    const [child, first] = [await openedByReader(toChild), await openedByReader(toFirst)];
    writeFileSync(CPU_1, '1');
    // Twice the interval at which a recorder reads the online CPUs.
    await new Promise((done) => setTimeout(done, 2000));
    for (const fd of [child, first]) {
      writeSync(fd, 'go\n');
      closeSync(fd);
    }
    const { status, stderr } = await running.ended;
    expect([status, stderr]).toEqual([0, expect.stringContaining('none lost')]);
  } finally {
    writeFileSync(CPU_1, '1');
  }
  const { threads } = show(output);
  // The first shell only waits, whatever its CPU.
  const busy = threads.filter(({ comm, cpu, samples }) => comm === 'sh' && cpu === 1 && (samples ?? 0) > 10);
  expect(busy).toHaveLength(2);
});

test('nothing is pinned on a CPU that is offline, and it is recorded again when it is back', async (context) => {
  needs(context, 'gcc', 'perf events', 'CPU hotplug');
  const daemon = await Daemon.up();
  const puppet = await Puppet.start();
  await daemon.json('attach', '-p', String(puppet.pid));
  const runOn1 = async () => {
    puppet.send('pin 1');
    return puppet.answer('thread');
  };
  const before = await runOn1();
  await daemon.untilStatus(({ cpus }) => cpus[1]!.slots.some(({ tid }) => tid === before));
  try {
    writeFileSync(CPU_1, '0');
    const { cpus, stats } = await daemon.untilStatus(({ cpus: [, cpu1] }) => cpu1!.online === false);
    expect(cpus[1]).toEqual({ cpu: 1, online: false, slots: [] });
    expect(stats.pinnedBytes.now).toBeLessThanOrEqual(stats.pinnedBytes.bound);
    // Its thread has moved to another CPU, and is recorded there.
    const { records } = (await daemon.client.events()).find(({ tid }) => tid === before)!;
    await daemon.untilEvents((all) => all.some((event) => event.tid === before && event.records > records));
  } finally {
    writeFileSync(CPU_1, '1');
  }
  expect(readFileSync(CPU_1, 'utf8').trim()).toBe('1');
  await daemon.untilStatus(({ cpus }) => cpus[1]!.online);
  const after = await runOn1();
  await daemon.untilEvents((all) => all.some(({ tid, records }) => tid === after && records > 20));
  const { cpus, stats, degraded } = await daemon.untilStatus(({ cpus: [, cpu1] }) =>
    cpu1!.slots.some(({ tid }) => tid === after),
  );
  expect(cpus.map(({ online }) => online)).toEqual(cpus.map(() => true));
  expect(stats).toMatchObject({ lost: 0, unrecordedTasks: 0 });
  expect(stats.pinnedBytes.peak).toBeLessThanOrEqual(stats.pinnedBytes.bound);
  expect(degraded).toEqual([]);
  const output = daemon.file('back.perf.data');
  await daemon.json('snapshot', '-t', String(after), '-o', output);
  expect(show(output).threads.find(({ tid }) => tid === after)).toMatchObject({ cpu: 1 });
});
