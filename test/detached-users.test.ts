/** Two users with a recorder each: each records its own programs, and neither can use the other's socket or files. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { RUN_PATIENCE_MS } from '../src/base/testing/waiting.ts';
import { Daemon } from './testing/daemon.ts';
import { perfScript } from './testing/perf-reading.ts';
import { Puppet } from './testing/puppet.ts';
import { NOBODY } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

const AS_NOBODY = { as: 'nobody' } as const;

function asNobody(command: string, ...args: readonly string[]) {
  return spawnSync(command, args, { uid: NOBODY, gid: NOBODY, cwd: '/', encoding: 'utf8', timeout: RUN_PATIENCE_MS });
}

/** A name of no other test's program: a glob matches all programs of a user. */
const PUPPETS_NAME = 'users-puppet';

/** A daemon of root that records a program of root. */
async function ofRoot(start = Daemon.lent) {
  const daemon = await start();
  const puppet = await Puppet.named(daemon.place, PUPPETS_NAME);
  await puppet.thread('secret');
  await daemon.json('attach', '-p', String(puppet.pid), '--name', 'web');
  const events = await daemon.untilEvents((all) => all.some(({ records }) => records > 20));
  return { daemon, puppet, path: events[0]!.path, tid: events[0]!.tid };
}

const ASKS = (daemon: Daemon, tid: number) => [
  ['status'],
  ['events'],
  ['rm', 'web'],
  ['rm', `web/software/${tid}`],
  ['snapshot', '-o', daemon.file('stolen.perf.data')],
  ['attach', '-a'],
  ['trigger', 'add', '--on', 'exit-signal'],
  ['trigger', 'ls'],
  ['down'],
];

test('two users record their own at the same time', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { daemon: roots, puppet: rootsPuppet } = await ofRoot();
  const nobodys = await Daemon.up([], AS_NOBODY);
  const puppet = await Puppet.named(nobodys.place, PUPPETS_NAME, AS_NOBODY);
  const thread = await puppet.thread('mine');
  await nobodys.json('attach', '-p', String(puppet.pid));
  const events = await nobodys.untilEvents((all) => all.some(({ records }) => records > 50));
  expect(events.map(({ tid }) => tid).sort()).toEqual([puppet.pid, thread].sort());
  expect(await nobodys.client.status()).toMatchObject({ uid: NOBODY, stats: { lost: 0, unrecordedTasks: 0 } });
  expect(nobodys.report.degraded.join('\n')).toMatch(/kernel/);
  const output = nobodys.file('mine.perf.data');
  await nobodys.json('snapshot', '-o', output);
  expect(perfScript(output).filter(({ tid }) => tid === thread).length).toBeGreaterThan(50);

  // A glob that matches both records the user's own only, and the user nobody may not record all tasks.
  const before = await nobodys.client.status();
  await nobodys.json('attach', '--comm', PUPPETS_NAME, '--name', 'puppets');
  expect((await nobodys.client.events()).map(({ pid }) => pid)).not.toContain(rootsPuppet.pid);
  expect((await nobodys.client.status()).threads).toBe(before.threads);
  expect(await nobodys.refused(['attach', '-a', '--name', 'all'])).toHaveLength(2);
  expect((await roots.client.events()).map(({ pid }) => pid)).not.toContain(puppet.pid);
  // Root may ask every recorder.
  expect((await roots.run(['status'], { env: { RINGKEEP_DIR: dirname(nobodys.runtime.socket) } })).status).toBe(0);
});

test('another user’s recorder refuses every request', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { daemon, tid } = await ofRoot();
  for (const args of ASKS(daemon, tid)) {
    expect(await daemon.refused(args, AS_NOBODY)).toEqual([
      `The recorder at ${daemon.runtime.socket} belongs to another user.`,
      'Run the command as that user or as root, or start your own recorder with `ringkeep up`.',
    ]);
  }
  expect((await daemon.client.status()).threads).toBe(2);
});

test('it refuses them also where the modes of its socket and directories admit every user', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'curl');
  const { daemon, tid } = await ofRoot(Daemon.up);
  chmodSync(daemon.runtime.path, 0o711);
  chmodSync(daemon.runtime.socket, 0o666);
  for (const args of ASKS(daemon, tid)) {
    const [cause, remedy, ...more] = await daemon.refused(args, AS_NOBODY);
    expect(cause).toMatch(/another user|not yours|user 65534/i);
    expect(remedy).toBe('Run the command as that user or as root, or start your own recorder with `ringkeep up`.');
    expect(more).toEqual([]);
  }
  for (const path of ['/v1/status', '/v1/events', '/metrics', '/']) {
    const { stdout } = asNobody(
      'curl',
      '-s',
      '-w',
      ' %{http_code}',
      '--unix-socket',
      daemon.runtime.socket,
      `http://x${path}`,
    );
    expect(stdout).toMatch(/"code":"not-yours".* 403$/);
  }
  expect(await daemon.client.status()).toMatchObject({ threads: 2, attachments: [{ name: 'web' }] });
  expect(await daemon.client.triggers()).toEqual([]);
  expect(existsSync(daemon.file('stolen.perf.data'))).toBe(false);
});

test('another user’s event files can be neither found nor read nor removed', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { daemon, path } = await ofRoot(Daemon.up);
  expect(asNobody('ls', daemon.directory).status).not.toBe(0);
  expect(asNobody('cat', path).stderr).toContain('Permission denied');
  expect(asNobody('rm', '-f', path).status).not.toBe(0);
  const shown = await daemon.run(['show', path], AS_NOBODY);
  expect(shown).toMatchObject({ status: 1, stdout: '' });
  // With open directories, the files are still closed.
  for (const directory of [daemon.directory, join(daemon.directory, 'web'), dirname(path)]) chmodSync(directory, 0o755);
  expect(asNobody('cat', path).stderr).toContain('Permission denied');
  expect(asNobody('rm', '-f', path).stderr).toContain('Permission denied');
  expect(existsSync(path)).toBe(true);
  expect(readFileSync(path).length).toBeGreaterThan(0);
  const sideBandLog = execFileSync('find', [daemon.directory, '-maxdepth', '1', '-type', 'f', '-perm', '/077'], {
    encoding: 'utf8',
  });
  expect(sideBandLog).toBe('');
});

test('a runtime directory of another user is not used', async (context) => {
  needs(context, 'root');
  const daemon = await Daemon.lent();
  // `up` of the user nobody in root's directory: no second recorder, and nothing of root's is changed.
  const [cause, remedy] = await daemon.refused(['up'], AS_NOBODY);
  expect(cause).toContain(daemon.runtime.path);
  expect(remedy).toContain('RINGKEEP_DIR');
  expect((await daemon.client.status()).pid).toBe(daemon.pid);
});
