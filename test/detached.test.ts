/**
 * The detached recorder from `up` to `down`, by the command line: what it is, what it locks while it runs, and that it
 * leaves nothing. And its socket, asked by curl.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RUN_PATIENCE_MS } from '../src/base/testing/waiting.ts';
import { Daemon, isRunning } from './testing/daemon.ts';
import { Puppet } from './testing/puppet.ts';
import { needs } from './testing/surroundings.ts';

/** Paths of a process's mappings and open files. */
function filesOf(pid: number): string {
  return readFileSync(`/proc/${pid}/maps`, 'utf8');
}

describe('a detached recorder', () => {
  test('runs when `up` has ended, and records its attachments without a client', async (context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.up();
    const puppet = await Puppet.start();
    await puppet.thread('napper');
    expect(daemon.report).toMatchObject({ started: true, source: 'perf', adoption: null });
    // Other users than root may not record the kernel, which is reported.
    if (process.geteuid!() === 0) expect(daemon.report.degraded).toEqual([]);
    expect(daemon.report.socket).toBe(daemon.runtime.socket);
    expect(await daemon.json('status')).toMatchObject({ pid: daemon.pid, threads: 0, attachments: [], adoption: null });

    await daemon.json('attach', '-p', String(puppet.pid));
    const before = await daemon.client.status();
    expect(before).toMatchObject({ threads: 2, uid: process.geteuid!(), source: 'perf' });
    const after = await daemon.untilStatus(({ stats }) => stats.records > before.stats.records + 100);
    expect(after.stats).toMatchObject({ lost: 0, unrecordedTasks: 0, unknownEnds: 0 });
  });

  test('is the only one in its directory: a second `up` reports the first, and changes nothing', async () => {
    const daemon = await Daemon.lent();
    expect(await daemon.json('up', '--ring', '4KiB')).toEqual({
      started: false,
      pid: daemon.pid,
      socket: daemon.runtime.socket,
      directory: null,
      source: null,
      adoption: null,
      degraded: [],
    });
    const second = await daemon.run(['up']);
    expect(second).toMatchObject({ status: 0, stderr: '' });
    expect(second.stdout).toBe(
      `a recorder is already running (pid ${daemon.pid}); its socket is ${daemon.runtime.socket}\n`,
    );
    expect((await daemon.client.status()).ringBytes).toBe(64 * 1024);
  });

  test('locks no more than its bound, by its own count and by the kernel’s', async (context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.up(['--slots', '2']);
    const puppet = await Puppet.start();
    for (let count = 0; count < 20; count++) await puppet.thread(`napper-${count}`);
    const unattached = daemon.lockedBytes();
    await daemon.json('attach', '-p', String(puppet.pid));
    let peak = 0;
    for (let looks = 0; looks < 50; looks++) {
      const { stats } = await daemon.client.status();
      const locked = daemon.lockedBytes() - unattached;
      expect(stats.pinnedBytes.peak).toBeLessThanOrEqual(stats.pinnedBytes.bound);
      expect(locked).toBeLessThanOrEqual(stats.pinnedBytes.bound);
      peak = Math.max(peak, locked);
    }
    expect(peak).toBeGreaterThan(0);
  });

  test.for(['down', 'SIGTERM'] as const)('leaves no file and no process after %s', async (how, context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.up();
    const puppet = await Puppet.start();
    await daemon.json('attach', '-p', String(puppet.pid));
    await daemon.json('attach', '--comm', 'no-such-program*', '--name', 'nothing');
    await daemon.untilEvents((events) => events.some(({ records }) => records > 0));
    expect(filesOf(daemon.pid)).toContain(daemon.directory);

    if (how === 'down') {
      const { status, stdout, stderr } = await daemon.run(['down']);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toBe(`the recorder (pid ${daemon.pid}) has stopped and left nothing behind\n`);
    } else {
      process.kill(daemon.pid, 'SIGTERM');
      await daemon.until(
        async () => isRunning(daemon.pid),
        (runs) => !runs,
      );
    }
    expect(isRunning(daemon.pid)).toBe(false);
    expect(readdirSync(daemon.runtime.path)).toEqual([]);
    expect(existsSync(daemon.directory)).toBe(false);
    expect(readdirSync('/dev/shm').filter((name) => name.startsWith(`ringkeep-${daemon.pid}-`))).toEqual([]);
    expect(existsSync(daemon.runtime.shmEvents)).toBe(false);
    // The recorded program runs on.
    puppet.send('sleep 1');
    await puppet.answer('slept');
    expect(await daemon.refused(['status'])).toEqual([
      `No recorder answers at ${daemon.runtime.socket}.`,
      'Start it with `ringkeep up`.',
    ]);
  });
});

describe('its socket', () => {
  /** `curl ARGS PATH`: HTTP status, type and body. */
  function curl(daemon: Daemon, path: string, ...args: readonly string[]) {
    const write = ['-w', '\n%{http_code} %{content_type}'];
    const { stdout } = spawnSync(
      'curl',
      ['-s', '--unix-socket', daemon.runtime.socket, ...write, ...args, `http://ringkeep${path}`],
      { encoding: 'utf8', timeout: RUN_PATIENCE_MS },
    );
    const lines = stdout.split('\n');
    const [code, ...type] = lines.pop()!.split(' ');
    return { code: Number(code), type: type.join(' '), body: lines.join('\n') };
  }

  test('answers curl as it does the command line', async (context) => {
    needs(context, 'gcc', 'perf events', 'curl');
    const daemon = await Daemon.lent();
    const puppet = await Puppet.start();
    const json = (body: unknown) => ['--json', JSON.stringify(body)];

    const attached = curl(
      daemon,
      '/v1/attachments',
      ...json({ target: { kind: 'pid', pid: puppet.pid }, name: 'web' }),
    );
    expect(attached.code).toBe(201);
    expect(JSON.parse(attached.body)).toMatchObject({ name: 'web', threads: 1, unrecorded: 0 });
    const status = curl(daemon, '/v1/status');
    expect(status).toMatchObject({ code: 200, type: expect.stringContaining('application/json') });
    expect(JSON.parse(status.body)).toMatchObject({ pid: daemon.pid, threads: 1, attachments: [{ name: 'web' }] });

    const output = daemon.file('by-curl.perf.data');
    const saved = curl(daemon, '/v1/snapshots', ...json({ output, selection: { pid: puppet.pid } }));
    expect(saved.code).toBe(201);
    expect(JSON.parse(saved.body)).toMatchObject({ path: output, threads: 1 });
    expect(existsSync(output)).toBe(true);

    expect(curl(daemon, `/v1/events/web/software/${puppet.pid}`, '-X', 'DELETE').code).toBe(204);
    expect(curl(daemon, '/v1/attachments/web', '-X', 'DELETE').code).toBe(204);
    const gone = curl(daemon, '/v1/attachments/web', '-X', 'DELETE');
    expect(gone.code).toBe(404);
    expect(JSON.parse(gone.body)).toMatchObject({ error: { code: 'no-such-event' } });
    expect(curl(daemon, '/v2/status').code).toBe(404);
    expect(curl(daemon, '/v1/attachments', ...json({ target: { kind: 'pid', pid: 'one' } })).code).toBe(400);
    expect(JSON.parse(curl(daemon, '/v1/attachments').body)).toEqual([]);
  });

  test('has metrics in Prometheus’s format, with the figures of the status', async (context) => {
    needs(context, 'gcc', 'perf events', 'curl');
    const daemon = await Daemon.lent();
    const puppet = await Puppet.start();
    await puppet.thread('napper');
    await daemon.json('attach', '-p', String(puppet.pid));
    const { code, type, body } = curl(daemon, '/metrics');

    expect(code).toBe(200);
    expect(type).toContain('text/plain; version=0.0.4');
    const { stats } = await daemon.client.status();
    const lines = body.trimEnd().split('\n');
    const isSample = /^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[\d.e+]+$/;
    expect(
      lines.filter((line) => !line.startsWith('# HELP ') && !line.startsWith('# TYPE ') && !isSample.test(line)),
    ).toEqual([]);
    expect(body).toMatch(/^ringkeep_threads 2$/m);
    expect(body).toContain(String(stats.pinnedBytes.bound));
  });
});
