import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { exitOf, next, until } from '../base/testing/waiting.ts';
import { locateRuntimeDirectory } from '../daemon/runtime-directory.ts';
import { FakeCommandLine } from './testing/fake-command-line.ts';

let commandLine: FakeCommandLine;
beforeAll(async () => {
  commandLine = await FakeCommandLine.build();
});
afterAll(() => commandLine.remove());

let scratch: string;
let runtime: string;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-commands-'));
  runtime = join(scratch, 'r');
  env = { RINGKEEP_DIR: runtime };
});
afterEach(async () => {
  if (existsSync(join(runtime, 'lock'))) await ringkeep('down');
  const { shmEvents } = locateRuntimeDirectory(env, process.geteuid!());
  for (const path of [scratch, shmEvents]) rmSync(path, { recursive: true, force: true });
});

const ringkeep = (...args: string[]) => commandLine.run(args, env);

/** The JSON that a command printed; expects status 0 and no error output. */
async function json(...args: string[]) {
  const { status, stdout, stderr } = await ringkeep(...args, '--json');
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
}

describe('up and down', () => {
  it('up starts a recorder that outlives it, in its own session and directory; down leaves nothing behind', async () => {
    const up = await json('up');
    expect(up).toMatchObject({ started: true, socket: join(runtime, 'control.sock'), source: 'perf', adoption: null });
    expect(isAlive(up.pid)).toBe(true);
    expect(readlinkSync(`/proc/${up.pid}/cwd`)).toBe('/');
    expect(readlinkSync(`/proc/${up.pid}/fd/0`)).toBe('/dev/null');
    expect(readlinkSync(`/proc/${up.pid}/fd/2`)).toBe(join(realpathSync(runtime), 'log'));
    // Field 6 of /proc/PID/stat: the session.
    const stat = readFileSync(`/proc/${up.pid}/stat`, 'latin1');
    expect(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3])).toBe(up.pid);
    expect(readFileSync(join(runtime, 'log'), 'utf8')).toContain('the fake recorder has started');

    expect((await json('status')).pid).toBe(up.pid);
    const down = await ringkeep('down');
    expect(down).toMatchObject({
      status: 0,
      stdout: `the recorder (pid ${up.pid}) has stopped and left nothing behind\n`,
    });
    expect(isAlive(up.pid)).toBe(false);
    expect(readdirSync(runtime)).toEqual([]);
    expect(existsSync(up.directory)).toBe(false);
  });

  it('a second up reports the first recorder and exits with status 0, in the background and in the foreground', async () => {
    const { pid, socket } = await json('up');
    expect(await json('up')).toMatchObject({ started: false, pid, socket });
    // It has no parent to send its report to, and prints it.
    const here = await ringkeep('up', '--foreground', '--json');
    expect(JSON.parse(here.stdout)).toMatchObject({ started: false, pid, socket });
    const again = await ringkeep('up');
    expect(again).toMatchObject({
      status: 0,
      stdout: `a recorder is already running (pid ${pid}); its socket is ${socket}\n`,
    });
    expect((await json('status')).pid).toBe(pid);
  });

  it('uses the directory of event files of a killed recorder', async () => {
    const first = await json('up');
    process.kill(first.pid, 'SIGKILL');
    await until('the killed recorder to be gone', () => !isAlive(first.pid));
    expect(await ringkeep('status')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Start it with `ringkeep up`.'),
    });
    const second = await json('up');
    expect(second).toMatchObject({ started: true, directory: first.directory });
    expect(second.pid).not.toBe(first.pid);
  });

  it('prints cause and remedy of a recorder that cannot start, and leaves nothing behind', async () => {
    env.RINGKEEP_FAKE = 'refused';
    const { status, stderr, stdout } = await ringkeep('up');
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^Perf events are refused here\.\nUse --source procfs or auto.*\n$/);
    expect(readdirSync(runtime)).toEqual([]);
  });

  it('reports an obstacle in the runtime directory, and leaves nothing else there', async () => {
    mkdirSync(join(runtime, 'control.sock'), { recursive: true, mode: 0o700 });
    expect(await ringkeep('up')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/control\.sock cannot be removed: EISDIR\.\nRemove the obstacle, .*\n$/),
    });
    expect(readdirSync(runtime)).toEqual(['control.sock']);
    expect(existsSync(locateRuntimeDirectory(env, process.geteuid!()).shmEvents)).toBe(false);
  });

  it('names the recorder that holds the event files after its runtime directory was removed', async (context) => {
    const { pid, directory } = await json('up');
    try {
      if (directory.startsWith(runtime)) context.skip('the runtime directory is a tmpfs and has the event files in it');
      rmSync(runtime, { recursive: true });
      expect(await ringkeep('up')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(
          new RegExp(`^Another recorder of this user \\(pid ${pid}\\) has .*\nStop it with \`kill ${pid}\` .*\n$`),
        ),
      });
      expect(readdirSync(runtime)).toEqual([]);
    } finally {
      process.kill(pid, 'SIGTERM');
      await until('the recorder to end on SIGTERM', () => !isAlive(pid));
    }
    expect(existsSync(directory)).toBe(false);
  });

  it('names the log when the recorder ends without a report', async () => {
    env.RINGKEEP_FAKE = 'killed';
    const { status, stderr } = await ringkeep('up');
    expect(status).toBe(1);
    expect(stderr).toContain('was killed by SIGKILL before it was ready');
    expect(stderr).toContain(join(runtime, 'log'));
  });

  it('exits with status 2 for wrong usage, whichever process finds it', async () => {
    expect((await ringkeep('up', '--ring', '5KiB')).status).toBe(2);
    expect((await ringkeep('up', '-e', 'no-such-event')).status).toBe(2);
  });

  it('in the foreground prints its report, and stops cleanly on a signal', async () => {
    const child = commandLine.spawn(['up', '--foreground', '--json'], env);
    const line = await next<string>(child.stdout!.setEncoding('utf8'), 'data', 'the line of JSON');
    expect(JSON.parse(line)).toMatchObject({ started: true, pid: child.pid });
    child.kill('SIGTERM');
    expect(await exitOf(child, 'the recorder')).toBe(0);
    expect(readdirSync(runtime)).toEqual([]);
  });
});

describe('the clients', () => {
  it('attach, list, save, trigger and remove, as text and as JSON', async () => {
    await ringkeep('up');
    expect(await json('attach', '-p', '42,43')).toMatchObject([
      { target: { kind: 'pid', pid: 42 } },
      { target: { kind: 'pid', pid: 43 } },
    ]);
    expect((await ringkeep('attach', '--comm', 'node*', '--name', 'web')).stdout).toBe(
      'web/software: comm node*, 1 thread\n',
    );
    expect(await json('attach', '--cgroup', 'system.slice')).toMatchObject([
      { target: { kind: 'cgroup', path: '/sys/fs/cgroup/system.slice' } },
    ]);
    expect(await json('events')).toHaveLength(4);
    const { stdout: table } = await ringkeep('events');
    expect(table).toMatch(/^EVENT +PID +COMM +STATE +SPAN +RECORDS +LOST +RING +PINNED\n/);
    expect(table).toMatch(/^web\/software\/7 +7 +node +live +2\.5s +1000 +3 +8KiB +yes$/m);
    expect(await ringkeep('rm', 'web/software/7', 'a1')).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(await json('events')).toHaveLength(2);

    const saved = await json('snapshot', '--comm', 'node*', '--last', '5s', '-o', 'x.perf.data');
    // Relative to the client's working directory, not the daemon's.
    expect(saved.path).toMatch(/^\/.*\.ringkeep-fake-.*\/x\.perf\.data$/);
    expect((await ringkeep('snapshot', '-o', '/a/b')).stdout).toMatch(/^saved \/a\/b: 990 records of 1 thread, 4KiB\n/);

    const trigger = ['trigger', 'add', '--on', 'stall>200ms', '--comm', 'node*', '--at-most', '1/10s', '--pre', '5s'];
    expect(await json(...trigger, '--dir', '/d', '--keep-bytes', '1MiB')).toMatchObject({
      id: 1,
      options: { comm: 'node*', atMost: { count: 1, perMs: 10_000 }, preMs: 5000, directory: '/d', keepBytes: 1 << 20 },
    });
    expect((await ringkeep('trigger', 'ls')).stdout).toMatch(
      /^ID +ON .*\n +1 +stall>200ms +comm node\* +2 +1 +never +-\n$/,
    );
    expect((await ringkeep('trigger', 'rm', '1')).status).toBe(0);
    expect(await json('trigger', 'ls')).toEqual([]);
    expect((await ringkeep('top')).stdout).toMatch(/^ringkeep 0\.1\.0 {2}pid \d+ [\s\S]*\nCPU {2}PINNED IN ITS SLOTS/);
    expect((await ringkeep('status')).stdout).toMatch(/^ringkeep 0\.1\.0, pid \d+, up .*, source perf\n/);
  });

  it('print cause and remedy of a refusal', async () => {
    await ringkeep('up');
    expect(await ringkeep('attach', '-p', '4000000')).toMatchObject({
      status: 1,
      stdout: '',
      stderr:
        'There is no process 4000000.\nList the threads of the machine with `ps -eLf`, or the recorded ones with `ringkeep events`.\n',
    });
    expect(await ringkeep('rm', 'unknown')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('ringkeep events'),
    });
  });

  it.each([
    ['attach'],
    ['attach', '-a', '-p', '1'],
    ['attach', '-p', '0'],
    ['attach', '-p', '1', '2', '--name', 'x'],
    ['snapshot'],
    ['snapshot', '--all', '-p', '1', '-o', 'x'],
    ['snapshot', '--last', 'soon', '-o', 'x'],
    ['trigger', 'add'],
    ['trigger', 'add', '--on', 'exit-signal', '--at-most', 'often'],
    ['trigger', 'rm', 'x'],
    ['rm'],
  ])('exit with status 2 for wrong usage, with or without a recorder: %s %s %s', async (...args) => {
    expect((await ringkeep(...args)).status).toBe(2);
  });

  it.each(['up', 'down', 'status', 'top', 'attach', 'events', 'rm', 'snapshot', 'trigger'])(
    'print help: %s',
    async (name) => {
      const { status, stdout } = await ringkeep(name, '--help');
      expect([status, stdout.startsWith(`Usage: ringkeep ${name}`)]).toEqual([0, true]);
    },
  );

  it.each([
    ['down'],
    ['status'],
    ['top'],
    ['events'],
    ['attach', '-a'],
    ['rm', 'name'],
    ['snapshot', '-o', 'x'],
    ['trigger', 'ls'],
  ])('report that no recorder answers: %s', async (...args) => {
    expect(await ringkeep(...args)).toMatchObject({
      status: 1,
      stderr: `No recorder answers at ${runtime}/control.sock.\nStart it with \`ringkeep up\`.\n`,
    });
  });
});

describe('rm', () => {
  it('accepts the path of an event through `events` in the runtime directory, also if that is a link', async () => {
    const { directory } = await json('up');
    await ringkeep('attach', '-p', '42', '--name', 'web');
    mkdirSync(join(directory, 'web/software'), { recursive: true });
    expect(await ringkeep('rm', join(runtime, 'events/web/software/42'))).toMatchObject({ status: 0, stderr: '' });
    expect(await json('events')).toEqual([]);
    expect((await ringkeep('rm', join(runtime, 'events/web/software/42'))).stderr).toContain(
      `There is no event ${runtime}/events/web/software/42.\n`,
    );
  });
});

describe('rm without a recorder', () => {
  beforeEach(() => {
    mkdirSync(join(runtime, 'events/web/software'), { recursive: true, mode: 0o700 });
    writeFileSync(join(runtime, 'events/web/software/7'), '');
    writeFileSync(join(runtime, 'events/web/software/8'), '');
  });

  it('removes the file of an event, given its relative or absolute path', async () => {
    expect((await ringkeep('rm', 'web/software/7', join(runtime, 'events/web/software/8'))).status).toBe(0);
    expect(readdirSync(join(runtime, 'events/web/software'))).toEqual([]);
  });

  it('removes it by its absolute path through a link: `events` is one if the runtime directory is on a disk', async () => {
    renameSync(join(runtime, 'events'), join(scratch, 'memory'));
    symlinkSync(join(scratch, 'memory'), join(runtime, 'events'));
    expect((await ringkeep('rm', join(runtime, 'events/web/software/8'))).status).toBe(0);
    expect(readdirSync(join(scratch, 'memory/web/software'))).toEqual(['7']);
  });

  it('removes nothing that is no event', async () => {
    const outside = join(scratch, 'a/b/c');
    mkdirSync(join(scratch, 'a/b'), { recursive: true });
    writeFileSync(outside, '');
    symlinkSync(join(scratch, 'a'), join(runtime, 'events/link'));
    for (const path of [outside, '../../a/b/c', 'link/b/c', 'web/software', 'web/software/9', '/etc/hostname/x']) {
      expect(await ringkeep('rm', path)).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/^There is no event/),
      });
    }
    expect(existsSync(outside)).toBe(true);
    expect(readdirSync(join(runtime, 'events/web/software'))).toEqual(['7', '8']);
  });
});
