/**
 * Snapshots on request: they hold what was selected and nothing else, recording goes on meanwhile, and perf reads them.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../src/base/testing/waiting.ts';
import type { SnapshotResult } from '../src/session/control.ts';
import { Daemon } from './testing/daemon.ts';
import { ownChildren } from './testing/own-children.ts';
import { isSample, perfScript } from './testing/perf-reading.ts';
import { Puppet } from './testing/puppet.ts';
import { show } from './testing/ringkeep.ts';
import { readSymbols } from './testing/snapshot-symbols.ts';
import { needs } from './testing/surroundings.ts';

/** Samples and switches, as perf reads them, without the side band. */
function activity(path: string) {
  return perfScript(path).filter(({ text }) => isSample(text) || text.startsWith('PERF_RECORD_SWITCH'));
}

/** Samples and switches of each thread, in order, as comparable text. */
function activityByThread(path: string): Map<number, string[]> {
  const byThread = new Map<number, string[]>();
  for (const { tid, timeNs, text } of activity(path)) {
    const known = byThread.get(tid);
    if (known) known.push(`${timeNs} ${text}`);
    else byThread.set(tid, [`${timeNs} ${text}`]);
  }
  return byThread;
}

test('a snapshot holds what is selected of what is recorded', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.lent();
  const [one, two] = [await Puppet.start(), await Puppet.start()];
  const [alpha, beta, gamma] = [await one.thread('alpha'), await one.thread('beta'), await two.thread('alphabet')];
  for (const { pid } of [one, two]) await daemon.json('attach', '-p', String(pid));
  await daemon.untilEvents((all) => all.filter(({ records }) => records > 50).length === 3);
  const everyone = [one.pid, alpha, beta, two.pid, gamma];

  const selections: [string[], number[]][] = [
    [
      ['-p', String(one.pid)],
      [one.pid, alpha, beta],
    ],
    [['-t', String(gamma)], [gamma]],
    [
      ['--comm', 'alpha*'],
      [alpha, gamma],
    ],
    [['--comm', 'alpha', '-p', String(one.pid)], [alpha]],
    [['--all'], everyone],
    [[], everyone],
  ];
  for (const [index, [selection, tids]] of selections.entries()) {
    const output = daemon.file(`selection-${index}.perf.data`);
    const saved = await daemon.json<SnapshotResult>('snapshot', ...selection, '-o', output);
    expect(saved).toMatchObject({ path: output, threads: tids.length });
    // A main thread that waits for input has at least the records of being attached to.
    const did = new Set(activity(output).map(({ tid }) => tid));
    expect([...did].sort()).toEqual([...tids].sort());
    const report = show(output);
    expect(report).toMatchObject({ reason: 'request', damage: [] });
    // It has no record of processes that are not selected.
    const pids = new Set(tids.map((tid) => (tid === gamma || tid === two.pid ? two.pid : one.pid)));
    expect(new Set(report.threads.map(({ pid }) => pid))).toEqual(pids);
  }
  expect((await daemon.run(['snapshot', '--all', '-t', '1', '-o', daemon.file('x')])).status).toBe(2);
});

test('--last leaves out older records but the last switch of each thread, and no other', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.up(['--ring', '512KiB']);
  const puppet = await Puppet.start();
  const napper = await puppet.thread('napper');
  await daemon.json('attach', '-p', String(puppet.pid));
  await daemon.untilEvents((all) =>
    all.some(({ firstNs, lastNs }) => firstNs !== null && BigInt(lastNs!) - BigInt(firstNs) > 1_300_000_000n),
  );
  const [last, all] = [daemon.file('last.perf.data'), daemon.file('all.perf.data')];
  const { cutNs } = await daemon.json<SnapshotResult>('snapshot', '--last', '1s', '-o', last);
  await daemon.json('snapshot', '-o', all);
  const fromNs = BigInt(cutNs) - 1_000_000_000n;
  const inLast = activity(last);
  const older = inLast.filter(({ timeNs, text }) => timeNs < fromNs && text.startsWith('PERF_RECORD_SWITCH'));
  expect(new Set(older.map(({ tid }) => tid)).size).toBe(older.length);
  // The process's first thread waits for a command all the time.
  expect(show(last).threads.find(({ tid }) => tid === puppet.pid)).toMatchObject({ state: 'sleeping', unknownNs: 0 });
  const inAll = activity(all).filter(({ tid }) => tid === napper);
  expect(inAll[0]!.timeNs).toBeLessThan(fromNs);
  const isSecond = ({ timeNs }: { timeNs: bigint }) => timeNs >= fromNs && timeNs <= BigInt(cutNs);
  const ofNapper = inLast.filter(({ tid, timeNs }) => tid === napper && timeNs >= fromNs);
  expect(ofNapper).toEqual(inAll.filter(isSecond));
});

test('recording goes on while a snapshot is taken, and the snapshot reports its cost', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.up(['--ring', '512KiB']);
  const puppet = await Puppet.start();
  const tids: number[] = [];
  for (let count = 0; count < 10; count++) tids.push(await puppet.thread(`napper-${count}`));
  await daemon.json('attach', '-p', String(puppet.pid));
  await daemon.untilStatus(({ stats }) => stats.records > 500);
  const outputs = [1, 2, 3].map((number) => daemon.file(`${number}.perf.data`));
  // Two at once, and one after them.
  const results = await Promise.all(
    outputs.slice(0, 2).map((path) => daemon.json<SnapshotResult>('snapshot', '-o', path)),
  );
  results.push(await daemon.json<SnapshotResult>('snapshot', '-o', outputs[2]!));
  for (const { cutMs, stallMs, writeMs, records, bytes, threads } of results) {
    expect(threads).toBe(11);
    for (const number of [cutMs, stallMs, writeMs, records, bytes]) expect(number).toBeGreaterThan(0);
  }
  const [earlier, later] = results.map(({ cutNs }) => BigInt(cutNs)).toSorted((a, b) => (a < b ? -1 : 1));
  expect(earlier).toBeLessThan(later!);
  // The last one has the records of the time in which the others were written: none is lost.
  const { stats } = await daemon.client.status();
  expect(stats.lost).toBe(0);
  const [first, third] = [outputs[0]!, outputs[2]!].map(activityByThread);
  for (const [tid, before] of first!) {
    const after = third!.get(tid)!;
    // From where the third begins: a ring may overwrite its oldest records meanwhile.
    const common = before.slice(Math.max(before.indexOf(after[0]!), 0));
    expect(after.slice(0, common.length)).toEqual(common);
  }
  expect(first!.get(tids[0]!)!.length).toBeGreaterThan(10);
});

describe('a snapshot is refused in two sentences', () => {
  test('where it cannot be written, and leaves nothing there', async (context) => {
    needs(context, 'gcc', 'perf events');
    const daemon = await Daemon.lent();
    const puppet = await Puppet.start();
    await daemon.json('attach', '-p', String(puppet.pid));
    const output = daemon.file('no/such/directory/x.perf.data');
    const [cause, remedy, ...more] = await daemon.refused(['snapshot', '-o', output]);
    expect(cause).toContain(output);
    expect(cause).toMatch(/ENOENT\.$/);
    expect(remedy).toBe('Use -o with a file in a writable directory that has free space.');
    expect(more).toEqual([]);
    const asDirectory = await daemon.refused(['snapshot', '-o', daemon.place.path]);
    expect(asDirectory).toHaveLength(2);
    expect(readdirSync(daemon.place.path)).toEqual(['run']);
  });

  test('where nothing is selected', async () => {
    const daemon = await Daemon.lent();
    const output = daemon.file('none.perf.data');
    for (const selection of [[], ['-t', '1'], ['--comm', 'no-such-name']]) {
      expect(await daemon.refused(['snapshot', ...selection, '-o', output])).toEqual([
        'No recorded thread is selected.',
        'List the threads of the machine with `ps -eLf`, or the recorded ones with `ringkeep events`.',
      ]);
    }
    expect(existsSync(output)).toBe(false);
  });
});

test('a recorder in another time namespace keeps the last second of the records, whose times are of the first', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  context.skip(spawnSync('unshare', ['-T', 'true']).status !== 0, 'no time namespaces');
  const daemon = await Daemon.up([], { through: ['unshare', '-T', '--monotonic', '100000'] });
  const puppet = await Puppet.start();
  const napper = await puppet.thread('napper');
  await daemon.json('attach', '-p', String(puppet.pid));
  await daemon.untilEvents((all) => all.some(({ tid, records }) => tid === napper && records > 20));
  const output = daemon.file('namespace.perf.data');
  const { cutNs } = await daemon.json<SnapshotResult>('snapshot', '--last', '1s', '-o', output);
  expect(BigInt(cutNs)).toBeLessThan(process.hrtime.bigint());
  expect(show(output).spanNs).toBeLessThanOrEqual(1e9);
  expect(activity(output).filter(({ tid }) => tid === napper).length).toBeGreaterThan(10);
});

test('down does not wait for the names of a snapshot, which are added behind it', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.upWithNames();
  const busy = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
  onTestFinished(() => void busy.kill('SIGKILL'));
  await daemon.json('attach', '-p', String(busy.pid));
  await daemon.untilEvents((all) => all.some(({ records }) => records > 50));
  const output = daemon.file('named.perf.data');
  // The daemon closes the connection of this request.
  daemon.json<SnapshotResult>('snapshot', '-o', output).catch(() => {});
  const child = await until('the symbolizing process', () => ownChildren(daemon.pid)[0], { everyMs: 1 });
  process.kill(child, 'SIGSTOP');
  expect((await daemon.json<{ left: string[] }>('down')).left).toEqual([]);
  await until('the names', () => readSymbols(output) !== undefined, { everyMs: 50 });
});
