/**
 * The detached recorder is bounded in memory and descriptors; at a bound it leaves out records, and the recorded
 * program is not affected.
 */
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { until } from '../src/base/testing/waiting.ts';
import type { AttachmentStatus, SnapshotResult } from '../src/session/control.ts';
import { Daemon } from './testing/daemon.ts';
import { Puppet } from './testing/puppet.ts';
import { show } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

test('at the cap of ring memory new children go unrecorded, are counted and reported, and every fork succeeds', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.up(['--memory', '1MiB', '--keep-dead', '64KiB']);
  const puppet = await Puppet.start();
  const napper = await puppet.thread('napper');
  await daemon.json('attach', '-p', String(puppet.pid), '--name', 'web');
  puppet.send('forks 300');
  expect(await puppet.answer('forks')).toBe(300);
  const { stats, memoryBytes, attachments } = await daemon.untilStatus(({ stats: { tasks } }) => tasks >= 302);

  expect(memoryBytes.cap).toBe(1024 ** 2);
  expect(memoryBytes.now).toBeLessThanOrEqual(memoryBytes.cap);
  expect(stats.tasks).toBe(302);
  expect(stats.unrecordedTasks).toBeGreaterThan(0);
  expect(stats.unrecordedTasks).toBeLessThan(300);
  expect(stats.pinnedBytes.peak).toBeLessThanOrEqual(stats.pinnedBytes.bound);
  expect(attachments).toMatchObject([{ name: 'web', unrecorded: stats.unrecordedTasks }]);
  const text = await daemon.run(['status']);
  expect(text.stdout).toContain(`${stats.unrecordedTasks} unrecorded`);
  // Rings that exist are written on, and new ones are created when there is room again.
  const before = (await daemon.client.events()).find(({ tid }) => tid === napper)!;
  await daemon.untilEvents((all) => all.some(({ tid, lastNs }) => tid === napper && lastNs !== before.lastNs));
  const later = await puppet.fork('later');
  await daemon.untilEvents((all) => all.some(({ tid }) => tid === later));
});

test('the rings of exited threads are evicted in the order of their exits', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.up(['--keep-dead', '128KiB']);
  const puppet = await Puppet.start();
  await daemon.json('attach', '-p', String(puppet.pid));
  const names = Array.from({ length: 40 }, (_, index) => `thread-${index}`);
  for (const name of names) {
    const tid = await puppet.thread(name);
    puppet.send(`hush ${tid}`);
    await until('the thread to exit', () => !existsSync(`/proc/${puppet.pid}/task/${tid}`), { everyMs: 1 });
  }
  await daemon.untilStatus(({ threads, stats }) => threads === 1 && stats.tasks === 41);
  const { stats } = await daemon.client.status();
  const dead = (await daemon.client.events()).filter(({ alive }) => !alive);
  expect(dead.reduce((sum, { ringBytes }) => sum + ringBytes, 0)).toBeLessThanOrEqual(128 * 1024);
  expect(dead.length).toBeGreaterThan(0);
  expect(stats.evictedRings).toBe(40 - dead.length);
  expect(dead.map(({ comm }) => comm)).toEqual(names.slice(-dead.length));
  expect(stats).toMatchObject({ unrecordedTasks: 0, lost: 0 });
});

test('where descriptors run out, threads go unrecorded and are counted, and the recorder still answers, saves and ends', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const daemon = await Daemon.up([], { as: 'nobody', through: ['prlimit', '--nofile=160:160'] });
  const puppet = await Puppet.start({ as: 'nobody' });
  puppet.send('idle 100');
  await puppet.answer('idle');
  const [attached] = await daemon.json<AttachmentStatus[]>('attach', '-p', String(puppet.pid), '--name', 'web');
  expect(attached!.unrecorded).toBeGreaterThan(0);
  expect(attached!.degraded.join('\n')).toContain('EMFILE');
  const { attachments } = await daemon.client.status();
  expect(attachments[0]!.threads + attachments[0]!.unrecorded).toBe(101);
  const path = daemon.place.file('short.data');
  const { threads } = await daemon.json<SnapshotResult>('snapshot', '--all', '-o', path);
  expect(threads).toBe(attachments[0]!.threads);
  expect(show(path).threads.length).toBe(threads);
});
