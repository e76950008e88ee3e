/** Names of JavaScript by default: what `record` sets for Node, what it does not touch, and which files it removes. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openCapture } from '../src/perf-data/capture.ts';
import type { StackFrame } from '../src/perf-data/stack.ts';
import { decodeSymbols } from '../src/symbols/symbols-section.ts';
import { allFrames } from './testing/name-agreement.ts';
import { record, recordWithNames, show, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

const OFTEN = ['--freq', '1999', '--ring', '1MiB'];
const WORK = `
function price(n) { let p = 1; for (let i = 0; i < n; i++) p = (p * 31 + i) % 65521; return p; }
for (let i = 0; i < 25; i++) price(2e6);
`;

/** The processes in a snapshot. */
function pidsIn(path: string): number[] {
  return [...new Set(show(path).threads.map(({ pid }) => pid))];
}

function mapsOf(pids: readonly number[]): string[] {
  const maps = pids.map((pid) => `/tmp/perf-${pid}.map`).filter((path) => existsSync(path));
  onTestFinished(() => {
    for (const path of maps) rmSync(path, { force: true });
  });
  return maps;
}

function sourcesIn(path: string): Map<string, string> {
  return sourcesOf(allFrames(path).frames);
}

/** `FILE:LINE` by function. */
function sourcesOf(frames: readonly StackFrame[]): Map<string, string> {
  const named = frames.flatMap(({ name, source }) =>
    name !== null && source !== null ? ([[name, `${source.file}:${source.line}`]] as const) : [],
  );
  return new Map(named);
}

function script(place: Workplace, name: string, text: string): string {
  writeFileSync(place.file(name), text);
  chmodSync(place.file(name), 0o755);
  return place.file(name);
}

test('the first command of the README names functions and lines, and leaves no map', async (context) => {
  needs(context, 'perf events');
  const example = join(import.meta.dirname, '..', 'examples', 'checkout-crash.mjs');
  const output = new Workplace().file('crash.perf.data');
  const { stderr, status } = await recordWithNames([...OFTEN, '-o', output], ['node', example]);
  expect(status).toBe(128 + 11);
  expect(stderr).toMatch(/priceOf checkout-crash\.mjs:10/);
  expect(mapsOf(pidsIn(output))).toEqual([]);
  const { frames } = allFrames(output);
  expect(sourcesOf(frames).get('priceOf')).toBe(`${example}:10`);
  // Addresses outside every mapping have no name: the frame pointer of such a frame was not one.
  const madeAtRunTime = frames.filter(({ file }) => file?.startsWith('//anon'));
  const unnamed = madeAtRunTime.filter(({ name }) => name === null).length;
  expect(madeAtRunTime.length).toBeGreaterThan(100);
  expect(unnamed / madeAtRunTime.length).toBeLessThan(0.02);
});

test('a script with Node as its interpreter has names, and so have the Node programs that it starts', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const child = script(place, 'child.mjs', WORK.replaceAll('price', 'childPrice'));
  const parent = script(
    place,
    'parent.mjs',
    `#!/usr/bin/env node\nimport { execFileSync } from 'node:child_process';\n${WORK}execFileSync(process.execPath, [${JSON.stringify(child)}]);\n`,
  );
  const output = place.file('out.perf.data');
  expect((await recordWithNames([...OFTEN, '--snapshot', 'always', '-o', output], [parent])).status).toBe(0);
  const sources = sourcesIn(output);
  expect(sources.get('price')).toBe(`${parent}:4`);
  expect(sources.get('childPrice')).toBe(`${child}:2`);
  expect(pidsIn(output).length).toBeGreaterThan(1);
  expect(mapsOf(pidsIn(output))).toEqual([]);
});

test('--no-js sets nothing for Node', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const text = `console.log('options:' + (process.env.NODE_OPTIONS ?? ''));\n${WORK}`;
  const main = script(place, 'main.mjs', text);
  const output = place.file('out.perf.data');
  const options = [...OFTEN, '--snapshot', 'always', '-o', output];
  const { stdout } = await record([...options, '--no-js'], ['node', main]);
  expect(stdout).toContain('options:\n');
  expect(sourcesIn(output).size).toBe(0);
  expect(mapsOf(pidsIn(output))).toEqual([]);
});

test('a map of V8 that the user asked for is kept', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const main = script(place, 'main.mjs', WORK);
  const output = place.file('out.perf.data');
  await recordWithNames([...OFTEN, '--snapshot', 'always', '-o', output], ['node', '--perf-basic-prof', main]);
  expect(sourcesIn(output).get('price')).toBe(`${main}:2`);
  expect(mapsOf(pidsIn(output))).toHaveLength(1);
});

test('with --no-names the map is kept, and gives the names when the snapshot is shown', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const main = script(place, 'main.mjs', WORK);
  const output = place.file('out.perf.data');
  await record([...OFTEN, '--snapshot', 'always', '-o', output], ['node', main]);
  expect(mapsOf(pidsIn(output))).toHaveLength(1);
  expect(sourcesIn(output).get('price')).toBe(`${main}:2`);
});

test('a jitdump of V8 names frames by time, and the names stay the same when the dump is removed', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const main = script(place, 'main.mjs', WORK);
  const output = place.file('out.perf.data');
  const node = ['node', '--perf-prof', '--interpreted-frames-native-stack', main];
  await recordWithNames([...OFTEN, '--snapshot', 'always', '-o', output], node, { cwd: place.path });
  const dumps = readdirSync(place.path).filter((name) => /^jit-\d+\.dump$/.test(name));
  expect(dumps).toHaveLength(1);
  const before = allFrames(output).frames;
  expect(sourcesOf(before).get('price')).toBe(`${main}:2`);
  const { symbols } = openCapture(new Uint8Array(readFileSync(output))).features;
  const kinds = decodeSymbols(symbols!)!.spaces.map(({ key }) => key.kind);
  expect(kinds).toContain('jitdump');
  rmSync(place.file(dumps[0]!));
  expect(allFrames(output).frames).toEqual(before);
});

test('V8 leaves nothing in the working directory of a recorded program', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const program = script(place, 'matches.mjs', '/^(a+)+$/.test(String(Math.random()));\n');
  const output = place.file('snapshot.perf.data');
  const cwd = place.file('cwd');
  mkdirSync(cwd);
  await recordWithNames([...OFTEN, '--snapshot', 'always', '-o', output], ['node', program], { cwd });
  expect(readdirSync(cwd)).toEqual([]);
});
