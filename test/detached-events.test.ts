/**
 * Events are files: each is the ring of one thread, can be read while it is written by every process that may open it,
 * and ends when it is removed, by whatever process.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { next } from '../src/base/testing/waiting.ts';
import { readRing } from '../src/ring/ring-reader.ts';
import type { EventStatus } from '../src/session/control.ts';
import { Daemon } from './testing/daemon.ts';
import { Puppet } from './testing/puppet.ts';
import { show, showWithNames } from './testing/ringkeep.ts';
import { needs, PYTHON } from './testing/surroundings.ts';

/** A daemon that records a program with two threads beside main, and their events when each has records. */
async function recorded() {
  const daemon = await Daemon.lent();
  const puppet = await Puppet.start();
  const tids = [await puppet.thread('first'), await puppet.thread('second')];
  await daemon.json('attach', '-p', String(puppet.pid), '--name', 'web');
  const events = await daemon.untilEvents(
    (all) => all.length === 3 && all.every(({ tid, records }) => records > (tid === puppet.pid ? 0 : 20)),
  );
  const eventOf = (tid: number) => events.find((event) => event.tid === tid)!;
  return { daemon, puppet, first: eventOf(tids[0]!), second: eventOf(tids[1]!) };
}

/** Memory of all rings. */
function bytesOf(events: readonly EventStatus[]): number {
  return events.reduce((sum, { ringBytes }) => sum + ringBytes, 0);
}

/** Until the memory reported is that of the rings: one may grow between the two requests. */
async function untilMemoryIsThatOfRings(daemon: Daemon): Promise<void> {
  const { client } = daemon;
  const ask = async () => [(await client.status()).memoryBytes.now, bytesOf(await client.events())] as const;
  await daemon.until(ask, ([reported, sum]) => reported === sum);
}

describe('an event file', () => {
  test('is where `events` says, closed to others, and can be shown while it is written', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { daemon, first } = await recorded();
    const listed = await daemon.json<EventStatus[]>('events');
    expect(listed).toHaveLength(3);
    for (const { path, tid } of listed) {
      expect(path).toBe(`${daemon.directory}/web/software/${tid}`);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
    }
    for (const read of [showWithNames, show, show]) {
      const { threads, damage } = read(first.path);
      expect(damage).toEqual([]);
      expect(threads).toMatchObject([{ tid: first.tid, pid: first.pid, comm: 'first' }]);
    }
    const text = await daemon.run(['events']);
    expect(text).toMatchObject({ status: 0, stderr: '' });
    expect(text.stdout).toContain(`web/software/${first.tid}`);
  });

  test('holds whole records whenever another process reads or maps it, and more the next time', async (context) => {
    needs(context, 'gcc', 'perf events', 'python');
    const { daemon, first } = await recorded();
    const mapped = [
      'import mmap, sys, time',
      'file = open(sys.argv[1], "rb")',
      'view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)',
      'print("mapped", flush=True)',
      'sys.stdin.read()',
      'sys.stdout.buffer.write(view[:])',
    ].join('\n');
    const reader = spawn(PYTHON, ['-c', mapped, first.path], { stdio: ['pipe', 'pipe', 'inherit'] });
    onTestFinished(() => void reader.kill('SIGKILL'));
    const chunks: Buffer[] = [];
    reader.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const image = () => Buffer.concat(chunks).subarray('mapped\n'.length);
    await daemon.until(async () => chunks.length, Boolean);

    const before = readRing(readFileSync(first.path));
    await daemon.untilEvents((all) =>
      all.some(({ tid, records }) => tid === first.tid && records > before.recordCount),
    );
    reader.stdin.end();
    await next(reader, 'close', 'the process that maps the file to end');
    const after = readRing(new Uint8Array(image()));
    expect(before.header).toMatchObject({ tid: first.tid, comm: 'first' });
    expect(after.header.ringId).toBe(before.header.ringId);
    expect(after.recordCount).toBeGreaterThan(before.recordCount);
    expect(Buffer.from(after.records).includes(Buffer.from(before.records))).toBe(true);
  });
});

describe('an event ends, and the others go on, when its file is removed by', () => {
  const WAYS = {
    '`ringkeep rm EVENT`': async (daemon: Daemon, { tid }: EventStatus) => {
      expect(await daemon.run(['rm', `web/software/${tid}`])).toEqual({
        status: 0,
        signal: null,
        stdout: '',
        stderr: '',
      });
    },
    '`ringkeep rm PATH`': async (daemon: Daemon, { path }: EventStatus) => {
      expect(await daemon.run(['rm', path])).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    },
    'rm(1)': async (_: Daemon, { path }: EventStatus) => void execFileSync('rm', [path]),
  };

  test.for(Object.keys(WAYS) as (keyof typeof WAYS)[])('%s', async (way, context) => {
    needs(context, 'gcc', 'perf events');
    const { daemon, puppet, first, second } = await recorded();
    const before = await daemon.client.status();
    await WAYS[way](daemon, first);

    await daemon.untilEvents((all) => !all.some(({ tid }) => tid === first.tid));
    expect(existsSync(first.path)).toBe(false);
    await untilMemoryIsThatOfRings(daemon);
    const { cpus } = await daemon.client.status();
    expect(cpus.flatMap(({ slots }) => slots).filter(({ tid }) => tid === first.tid)).toEqual([]);
    expect(readFileSync(`/proc/${daemon.pid}/maps`, 'utf8')).not.toContain(first.path);

    // The thread runs on, the other one is recorded, and records of the removed event are not counted as lost.
    const after = await daemon.untilStatus(({ stats }) => stats.records > before.stats.records + 100);
    expect(after.stats).toMatchObject({ lost: 0, unrecordedTasks: 0 });
    const events = await daemon.untilEvents((all) =>
      all.some(({ tid, lastNs }) => tid === second.tid && BigInt(lastNs!) > BigInt(second.lastNs!)),
    );
    expect(events.map(({ tid }) => tid).sort()).toEqual([puppet.pid, second.tid].sort());
    expect(await daemon.refused(['rm', first.path])).toEqual([
      `There is no event ${first.path}.`,
      'List events with `ringkeep events` and attachments with `ringkeep status`.',
    ]);
  });
});

test.for(['`ringkeep rm NAME`', 'rm(1) of its directory'] as const)(
  'an attachment ends with all its events by %s',
  async (way, context) => {
    needs(context, 'gcc', 'perf events');
    const { daemon } = await recorded();
    const other = await Puppet.start();
    await other.thread('elsewhere');
    await daemon.json('attach', '-p', String(other.pid), '--name', 'other');
    if (way === '`ringkeep rm NAME`') {
      expect(await daemon.run(['rm', 'web'])).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    } else execFileSync('rm', ['-r', `${daemon.directory}/web`]);
    const status = await daemon.untilStatus(({ attachments }) => attachments.length === 1);
    expect(status).toMatchObject({ threads: 2, attachments: [{ name: 'other', threads: 2 }] });
    expect(existsSync(`${daemon.directory}/web`)).toBe(false);
    const events = await daemon.untilEvents((all) => all.some(({ records }) => records > 20));
    expect(events.map(({ attachment }) => attachment)).toEqual(['other', 'other']);
    await untilMemoryIsThatOfRings(daemon);
    expect(readdirSync(daemon.directory).filter((name) => !name.startsWith('journal'))).not.toContain('web');
    expect((await daemon.client.status()).stats.lost).toBe(0);
  },
);
