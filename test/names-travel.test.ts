/** Names that travel with a snapshot: what is left of them when all that they came from is gone. */
import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { isLong } from '../src/base/testing/runs.ts';
import { exitOf } from '../src/base/testing/waiting.ts';
import { openCapture } from '../src/perf-data/capture.ts';
import type { Symbolizer } from '../src/perf-data/symbolizer.ts';
import { systemSymbolsOf } from '../src/services/capture-symbols.ts';
import { symbolizeSnapshot } from '../src/services/symbolize-snapshot.ts';
import { run } from '../src/snapshot/testing/perf-tool.ts';
import { CapturedSymbols } from '../src/symbols/captured-symbols.ts';
import { decodeSymbols } from '../src/symbols/symbols-section.ts';
import { Daemon } from './testing/daemon.ts';
import { allFrames, framesBy } from './testing/name-agreement.ts';
import { record, recordWithNames, ringkeep, show, showWithNames, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const OFTEN = ['--freq', '1999', '--ring', '1MiB', '--snapshot', 'always'];

afterEach(() => void vi.unstubAllEnvs());

/** Names of all frames, by what the file says alone: on a machine that has no file of this one's. */
function namesElsewhere(path: string): (string | null)[] {
  const capture = openCapture(new Uint8Array(readFileSync(path)));
  const captured = new CapturedSymbols(decodeSymbols(capture.features.symbols!)!);
  const system = systemSymbolsOf(capture);
  const namer: Symbolizer = {
    problems: [],
    nameOf: (place) => captured.nameOf(place, system.buildIdOf(place)),
  };
  return framesBy(path, () => namer).frames.map(({ name }) => name);
}

function namesHere(path: string): (string | null)[] {
  return allFrames(path).frames.map(({ name }) => name);
}

/** A program of its own for the test, which may go. */
function ownProgram(place: Workplace): string {
  const program = place.file('program');
  copyFileSync(testProgram('named-work'), program);
  return program;
}

/** perf keeps copies of what it recorded below $HOME, by build id. */
function withoutCopies(place: Workplace): void {
  vi.stubEnv('HOME', place.path);
}

test('names stay equal when the program is overwritten and when it is gone, here and elsewhere', async (context) => {
  needs(context, 'gcc', 'perf events');
  const place = new Workplace();
  const program = ownProgram(place);
  const [plain, named] = [place.file('plain.perf.data'), place.file('named.perf.data')];
  await record([...OFTEN, '-o', plain], [program, '300']);
  const byMachine = namesHere(plain);
  expect(byMachine.filter((name) => name !== null).length).toBeGreaterThan(300);
  expect(openCapture(new Uint8Array(readFileSync(plain))).features.symbols).toBeUndefined();
  copyFileSync(plain, named);
  expect(symbolizeSnapshot(named, 60_000)).toMatchObject({ isComplete: true });

  withoutCopies(place);
  expect(namesHere(named)).toEqual(byMachine);
  rmSync(program);
  copyFileSync(testProgram('ping-pong'), program);
  expect(namesHere(named)).toEqual(byMachine);
  rmSync(program);
  expect(namesHere(named)).toEqual(byMachine);
  expect(namesElsewhere(named)).toEqual(byMachine);
  expect(namesHere(plain)).not.toEqual(byMachine);
  expect(allFrames(named).problems).toEqual([]);
});

test('kernel functions keep their names under another kernel', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const output = new Workplace().file('snapshot.perf.data');
  await recordWithNames([...OFTEN, '-o', output], [testProgram('named-work'), '300']);
  const { frames } = allFrames(output);
  const inKernel = frames.flatMap(({ isKernel, name }, index) => (isKernel && name !== null ? [index] : []));
  expect(inKernel.length).toBeGreaterThan(50);
  const elsewhere = namesElsewhere(output);
  expect(inKernel.map((index) => elsewhere[index])).toEqual(inKernel.map((index) => frames[index]!.name));
});

test('code of Node keeps its names and lines when the map of its compiler is gone', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const script = place.file('shop.mjs');
  writeFileSync(
    script,
    'export function price(n) { let p = 1; for (let i = 0; i < n; i++) p = (p * 31 + i) % 65521; return p; }\nfor (let i = 0; i < 60; i++) price(3e6);\n',
  );
  const output = place.file('node.perf.data');
  const node = [process.execPath, '--perf-basic-prof-only-functions', '--interpreted-frames-native-stack'];
  await recordWithNames([...OFTEN, '-o', output], [...node, script]);
  const { pid } = show(output).threads.find(({ pid, tid }) => pid === tid)!;
  rmSync(`/tmp/perf-${pid}.map`);
  const found = allFrames(output).frames.find(({ name }) => name === 'price');
  expect(found?.source).toEqual({ file: script, line: 1 });
  expect(namesElsewhere(output)).toEqual(namesHere(output));
});

test('perf reads the snapshot as it did before names were added, and has nothing to say about them', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const output = new Workplace().file('snapshot.perf.data');
  await record([...OFTEN, '-o', output], [testProgram('named-work'), '150']);
  const before = run('perf', 'script', '-f', '-i', output);
  const bytes = statSync(output).size;
  expect(symbolizeSnapshot(output, 60_000).bytes).toBeGreaterThan(0);
  expect(statSync(output).size).toBeGreaterThan(bytes);
  expect(run('perf', 'script', '-f', '-i', output)).toEqual(before);
  expect(before).toMatchObject({ status: 0, stderr: '' });
  expect(run('perf', 'report', '-f', '--stdio', '-i', output)).toMatchObject({ status: 0, stderr: '' });
});

test('names are added once', async (context) => {
  needs(context, 'gcc', 'perf events');
  const output = new Workplace().file('snapshot.perf.data');
  await recordWithNames([...OFTEN, '-o', output], [testProgram('named-work'), '100']);
  const bytes = statSync(output).size;
  expect(symbolizeSnapshot(output, 60_000)).toEqual({ bytes: 0, isComplete: false });
  expect(statSync(output).size).toBe(bytes);
});

test('whenever the one who adds names is killed, the snapshot is readable, and can be given names', async (context) => {
  needs(context, 'gcc', 'perf events');
  const place = new Workplace();
  const [plain, output] = [place.file('plain.perf.data'), place.file('snapshot.perf.data')];
  await record([...OFTEN, '-o', plain], [testProgram('named-work'), '300']);
  const expected = namesHere(plain);
  const program = join(import.meta.dirname, '..', 'dist', 'bin', 'symbolize-process.js');
  const ends = new Set<string | number | null>();
  for (let delayMs = 20; delayMs < 600; delayMs += isLong ? 20 : 120) {
    copyFileSync(plain, output);
    const child = spawn(process.execPath, [program, output, '60000'], { stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
    ends.add(await exitOf(child, 'the process that adds names'));
    clearTimeout(timer);
    const capture = openCapture(new Uint8Array(readFileSync(output)));
    expect(capture.damage).toEqual([]);
    if (capture.features.symbols === undefined) symbolizeSnapshot(output, 60_000);
  }
  expect(ends).toContain('SIGKILL');
  expect(namesElsewhere(output)).toEqual(expected);
});

test('without time names stay away, or are those of the newest frames, and the machine fills in', async (context) => {
  needs(context, 'gcc', 'perf events');
  const output = new Workplace().file('snapshot.perf.data');
  await record([...OFTEN, '-o', output], [testProgram('named-work'), '300']);
  const expected = namesHere(output);
  expect(symbolizeSnapshot(output, 0)).toMatchObject({ isComplete: false });
  expect(namesHere(output)).toEqual(expected);
});

test('damage to the names loses names only', async (context) => {
  needs(context, 'gcc', 'perf events');
  const place = new Workplace();
  const program = ownProgram(place);
  const output = place.file('snapshot.perf.data');
  await recordWithNames([...OFTEN, '-o', output], [program, '150']);
  withoutCopies(place);
  rmSync(program);
  const whole = showWithNames(output);
  const { symbols } = openCapture(new Uint8Array(readFileSync(output))).features;
  const at = readFileSync(output).indexOf(symbols!) + Math.floor(symbols!.length / 2);
  const descriptor = openSync(output, 'r+');
  writeSync(descriptor, Buffer.from('damage!'), 0, 7, at);
  closeSync(descriptor);
  const damaged = showWithNames(output);
  expect(damaged.unnamed).toContain('the symbols stored in the capture are damaged');
  expect({ ...damaged.totals, damage: damaged.damage }).toEqual({ ...whole.totals, damage: [] });
});

test('snapshots of a detached recorder have names: one that was asked for, and one that a trigger took', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.upWithNames(['--freq', '1999', '--ring', '1MiB']);
  const program = ownProgram(daemon.place);
  const worker = spawn(program, ['60000'], { stdio: 'ignore' });
  onTestFinished(() => void worker.kill('SIGKILL'));
  await daemon.json('attach', '-p', String(worker.pid));
  await daemon.json('trigger', 'add', '--on', 'exit-signal');
  await daemon.untilEvents((events) => events.some(({ records }) => records > 500));

  const asked = daemon.file('asked.perf.data');
  const { namesMs } = await daemon.json<{ namesMs: number | null }>('snapshot', '-o', asked);
  expect(namesMs).not.toBeNull();
  const bare = daemon.file('bare.perf.data');
  expect(await daemon.json('snapshot', '--no-names', '-o', bare)).toMatchObject({ namesMs: null });
  worker.kill('SIGSEGV');
  const triggers = await daemon.until(
    () => daemon.client.triggers(),
    ([trigger]) => trigger?.lastSnapshot,
  );
  const lastSnapshot = triggers[0]!.lastSnapshot!;
  const hasNames = (path: string) => openCapture(new Uint8Array(readFileSync(path))).features.symbols !== undefined;
  await daemon.until(async () => hasNames(lastSnapshot), Boolean);

  expect([asked, bare].map(hasNames)).toEqual([true, false]);
  rmSync(program);
  for (const path of [asked, lastSnapshot]) expect(namesElsewhere(path)).toContain('work');
});

test('a recorder that is to add no names adds none, whoever asks', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.upWithNames(['--no-names']);
  await daemon.json('attach', '-p', String(process.pid));
  await daemon.untilEvents((events) => events.some(({ records }) => records > 10));
  const output = daemon.file('now.perf.data');
  expect(await daemon.json('snapshot', '-o', output)).toMatchObject({ namesMs: null });
  expect(openCapture(new Uint8Array(readFileSync(output))).features.symbols).toBeUndefined();
});

test('a program that only a process in a container sees has names', async (context) => {
  needs(context, 'gcc', 'perf events', 'mount namespaces');
  const daemon = await Daemon.upWithNames(['--freq', '1999', '--ring', '1MiB']);
  const inside = `mount -t tmpfs tmpfs /mnt && cp ${testProgram('named-work')} /mnt/program && exec /mnt/program 60000`;
  const worker = spawn('unshare', ['-m', 'sh', '-c', inside], { stdio: 'ignore' });
  onTestFinished(() => void worker.kill('SIGKILL'));
  await daemon.until(
    async () => readFileSync(`/proc/${worker.pid}/comm`, 'utf8').trim(),
    (comm) => comm === 'program',
  );
  await daemon.json('attach', '-p', String(worker.pid));
  await daemon.untilEvents((events) => events.some(({ records }) => records > 500));
  const output = daemon.file('inside.perf.data');
  await daemon.json('snapshot', '-o', output);
  worker.kill('SIGKILL');
  const { frames } = allFrames(output);
  const names = new Set(frames.flatMap(({ file, name }) => (file === '/mnt/program' && name !== null ? [name] : [])));
  expect(names).toContain('work');
});

test('rings that a killed recorder left are saved with names', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.upWithNames(['--freq', '1999', '--ring', '1MiB']);
  const worker = spawn(testProgram('named-work'), ['60000'], { stdio: 'ignore' });
  onTestFinished(() => void worker.kill('SIGKILL'));
  await daemon.json('attach', '-p', String(worker.pid));
  await daemon.untilEvents((events) => events.some(({ records }) => records > 500));
  process.kill(daemon.pid, 'SIGKILL');
  const output = daemon.file('recovered.perf.data');
  const { status, stderr } = await ringkeep(['recover', daemon.directory, '-o', output]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(namesElsewhere(output)).toContain('work');
});
