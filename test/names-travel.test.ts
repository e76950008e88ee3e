/** Names in a snapshot: they stay when the programs, maps and kernels they were read from are gone. */
import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, onTestFinished, test, vi } from 'vitest';
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
import { once, record, recordWithNames, ringkeep, show, showWithNames, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const OFTEN = ['--freq', '1999', '--ring', '1MiB', '--snapshot', 'always'];

afterEach(() => void vi.unstubAllEnvs());

/** Names of all frames by the snapshot alone, as on another machine. */
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

/** A copy of the program that the test may remove. */
function ownProgram(place: Workplace): string {
  const program = place.file('program');
  copyFileSync(testProgram('named-work'), program);
  return program;
}

/** perf keeps copies of recorded files below $HOME, by build id. */
function withoutCopies(place: Workplace): void {
  vi.stubEnv('HOME', place.path);
}

const shared = new Workplace(afterAll);
/** A recording of named-work, without and with names. */
const plain = once(async () => {
  const path = shared.file('plain.perf.data');
  await record([...OFTEN, '-o', path], [testProgram('named-work'), '300']);
  return path;
});
const named = once(async () => {
  const path = shared.file('named.perf.data');
  await recordWithNames([...OFTEN, '-o', path], [testProgram('named-work'), '300']);
  return path;
});

/** A copy of a shared recording, which the test may change. */
async function copyOf(recording: () => Promise<string>): Promise<string> {
  const copy = new Workplace().file('copy.perf.data');
  copyFileSync(await recording(), copy);
  return copy;
}

test('names stay equal when the program is overwritten and when it is gone, here and elsewhere', async (context) => {
  needs(context, 'gcc', 'perf events');
  const place = new Workplace();
  const program = ownProgram(place);
  const [bare, withNames] = [place.file('plain.perf.data'), place.file('named.perf.data')];
  await record([...OFTEN, '-o', bare], [program, '300']);
  const byMachine = namesHere(bare);
  expect(byMachine.filter((name) => name !== null).length).toBeGreaterThan(300);
  expect(openCapture(new Uint8Array(readFileSync(bare))).features.symbols).toBeUndefined();
  copyFileSync(bare, withNames);
  expect(symbolizeSnapshot(withNames, 60_000)).toMatchObject({ isComplete: true });

  withoutCopies(place);
  expect(namesHere(withNames)).toEqual(byMachine);
  rmSync(program);
  copyFileSync(testProgram('ping-pong'), program);
  expect(namesHere(withNames)).toEqual(byMachine);
  rmSync(program);
  expect(namesHere(withNames)).toEqual(byMachine);
  expect(namesElsewhere(withNames)).toEqual(byMachine);
  expect(namesHere(bare)).not.toEqual(byMachine);
  expect(allFrames(withNames).problems).toEqual([]);
});

test('kernel functions keep their names under another kernel', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const output = await named();
  const { frames } = allFrames(output);
  const inKernel = frames.flatMap(({ isKernel, name }, index) => (isKernel && name !== null ? [index] : []));
  expect(inKernel.length).toBeGreaterThan(50);
  const elsewhere = namesElsewhere(output);
  expect(inKernel.map((index) => elsewhere[index])).toEqual(inKernel.map((index) => frames[index]!.name));
});

test('code of Node keeps its names and lines when V8’s map is removed', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const script = place.file('shop.mjs');
  writeFileSync(
    script,
    'export function price(n) { let p = 1; for (let i = 0; i < n; i++) p = (p * 31 + i) % 65521; return p; }\nfor (let i = 0; i < 25; i++) price(3e6);\n',
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

test('perf reads a snapshot with names as it does one without, and without a warning', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const output = await copyOf(plain);
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
  const output = await named();
  const bytes = statSync(output).size;
  expect(symbolizeSnapshot(output, 60_000)).toEqual({ bytes: 0, isComplete: false });
  expect(statSync(output).size).toBe(bytes);
});

test('a snapshot is readable, and names can be added, whenever the process that adds names is killed', async (context) => {
  needs(context, 'gcc', 'perf events');
  const output = new Workplace().file('snapshot.perf.data');
  const expected = namesHere(await plain());
  const program = join(import.meta.dirname, '..', 'dist', 'bin', 'symbolize-process.js');
  const ends = new Set<string | number | null>();
  for (let delayMs = 20; delayMs < 600; delayMs += isLong ? 20 : 120) {
    copyFileSync(await plain(), output);
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

test('without time no names are added, or those of the newest frames, and the machine’s files give the others', async (context) => {
  needs(context, 'gcc', 'perf events');
  const output = await copyOf(plain);
  const expected = namesHere(output);
  expect(symbolizeSnapshot(output, 0)).toMatchObject({ isComplete: false });
  expect(namesHere(output)).toEqual(expected);
});

test('damage to the names loses names only', async (context) => {
  needs(context, 'gcc', 'perf events');
  const output = await copyOf(named);
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

test('snapshots of a detached recorder have names, those on request and those of triggers', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.upWithNames(['--freq', '1999', '--ring', '1MiB']);
  const program = ownProgram(daemon.place);
  const worker = spawn(program, ['60000'], { stdio: 'ignore' });
  onTestFinished(() => void worker.kill('SIGKILL'));
  await daemon.json('attach', '-p', String(worker.pid));
  await daemon.json('trigger', 'add', '--on', 'exit-signal');
  await daemon.untilEvents((events) => events.some(({ records }) => records > 500));
  worker.kill('SIGSTOP');

  const asked = daemon.file('asked.perf.data');
  const { namesMs } = await daemon.json<{ namesMs: number | null }>('snapshot', '-o', asked);
  expect(namesMs).not.toBeNull();
  const bare = daemon.file('bare.perf.data');
  expect(await daemon.json('snapshot', '--no-names', '-o', bare)).toMatchObject({ namesMs: null });
  worker.kill('SIGSEGV');
  worker.kill('SIGCONT');
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

test('a recorder started with --no-names adds none to a snapshot on request', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.upWithNames(['--no-names']);
  await daemon.json('attach', '-p', String(process.pid));
  await daemon.untilEvents((events) => events.some(({ records }) => records > 10));
  const output = daemon.file('now.perf.data');
  expect(await daemon.json('snapshot', '-o', output)).toMatchObject({ namesMs: null });
  expect(openCapture(new Uint8Array(readFileSync(output))).features.symbols).toBeUndefined();
});

test('a program that is mounted in a container only has names', async (context) => {
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
  worker.kill('SIGSTOP');
  const output = daemon.file('inside.perf.data');
  await daemon.json('snapshot', '-o', output);
  worker.kill('SIGKILL');
  const { frames } = allFrames(output);
  const names = new Set(frames.flatMap(({ file, name }) => (file === '/mnt/program' && name !== null ? [name] : [])));
  expect(names).toContain('work');
});

test('the rings of a killed recorder are saved with names', async (context) => {
  needs(context, 'gcc', 'perf events');
  const daemon = await Daemon.upWithNames(['--freq', '1999', '--ring', '1MiB']);
  const worker = spawn(testProgram('named-work'), ['60000'], { stdio: 'ignore' });
  onTestFinished(() => void worker.kill('SIGKILL'));
  await daemon.json('attach', '-p', String(worker.pid));
  await daemon.untilEvents((events) => events.some(({ records }) => records > 500));
  worker.kill('SIGSTOP');
  process.kill(daemon.pid, 'SIGKILL');
  const output = daemon.file('recovered.perf.data');
  const { status, stderr } = await ringkeep(['recover', daemon.directory, '-o', output]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(namesElsewhere(output)).toContain('work');
});
