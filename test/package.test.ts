/** The npm package: contains only what its entry points reach, is small, and works once it is unpacked elsewhere. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RUN_PATIENCE_MS } from '../src/base/testing/waiting.ts';
import { twoThreads } from '../src/export/testing/fixtures.ts';

const ROOT = resolve(import.meta.dirname, '..');
const MOST_PACKED_BYTES = 400_000;
/** Files for people; npm always adds package.json. */
const TEXTS = /^(README\.md|CHANGELOG\.md|LICENSE|package\.json|docs\/\w+\.md|contrib\/ringkeep\.service)$/;

let place: string;
let installed: string;
let packed: { size: number; files: readonly { path: string }[] };

const run = (program: string, args: readonly string[], cwd = place) =>
  execFileSync(program, args, { cwd, encoding: 'utf8', timeout: RUN_PATIENCE_MS });

/** An application that has the package and its dependencies in node_modules. */
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'ringkeep-package-'));
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', place];
  const [report] = JSON.parse(run('npm', pack, ROOT));
  packed = report;
  const modules = join(place, 'node_modules');
  installed = join(modules, 'ringkeep');
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', join(place, report.filename), '-C', installed, '--strip-components', '1']);
  for (const name of readdirSync(join(ROOT, 'node_modules')))
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const paths = () => packed.files.map(({ path }) => path);

test('every file is reached from an entry point or is a text for people', () => {
  const { bin, exports } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  const check = exports['./check'];
  const reached = new Set([bin.ringkeep, check.default, check.types].map((path) => posix.normalize(path)));
  for (const path of reached) {
    const isDeclaration = path.endsWith('.d.ts');
    const source = readFileSync(join(installed, path), 'utf8');
    for (const [, target] of source.matchAll(
      /(?:\bfrom|\bimport|\bURL)\s*\(?\s*["'`](\.[\w./-]+\.(?:[jt]s|json))["'`]/g,
    )) {
      const next = posix.join(posix.dirname(path), target!);
      if (next !== 'package.json') reached.add(isDeclaration ? next.replace(/\.[jt]s$/, '.d.ts') : next);
    }
  }
  expect([...reached].filter((path) => !paths().includes(path))).toEqual([]);
  expect(paths().filter((path) => !reached.has(path) && !TEXTS.test(path))).toEqual([]);
});

test('no source map is without its source, and the package is under 400 KB', () => {
  expect(paths().filter((path) => path.endsWith('.map') && !paths().includes(path.slice(0, -4)))).toEqual([]);
  for (const path of paths().filter((each) => /\.[jt]s$/.test(each))) {
    const [, map] = /\/\/# sourceMappingURL=(\S+)/.exec(readFileSync(join(installed, path), 'utf8')) ?? [];
    if (map !== undefined) expect(paths()).toContain(posix.join(posix.dirname(path), map));
  }
  expect(packed.size).toBeLessThan(MOST_PACKED_BYTES);
});

test('the command line runs', () => {
  const main = join(installed, 'dist/bin/main.js');
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(run('node', [main, '--version'])).toBe(`${version}\n`);
  writeFileSync(join(place, 'fixture.perf.data'), twoThreads().build());
  expect(run('node', [main, 'show', 'fixture.perf.data'])).toMatch(/^pid \d+/m);
  expect(run('node', [main, 'record', '--help'])).toMatch(/^Usage: ringkeep record/);
});

test('`ringkeep/check` can be imported, and its types check', () => {
  writeFileSync(
    join(place, 'use.ts'),
    `import { Dpor, programOf, search, step, type SearchResult } from 'ringkeep/check';
function* twice(state: { n: number }) {
  yield step('add', { reads: ['n'], writes: ['n'], perform: () => { state.n++; } });
}
const program = programOf({ name: 'p', state: () => ({ n: 0 }), actors: { A: twice, B: twice }, invariants: {} });
const result: SearchResult = search(program, new Dpor(), { findings: 'every' });
const verdict: 'exhausted' | 'bounded' | 'violated' = result.verdict;
if (verdict !== 'exhausted') throw new Error(verdict);
`,
  );
  const options = { strict: true, module: 'nodenext', target: 'es2023', lib: ['es2023'], types: [], outDir: 'built' };
  writeFileSync(join(place, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['use.ts'] }));
  run('node', [join(ROOT, 'node_modules/typescript/bin/tsc')]);
  run('node', ['built/use.js']);
});
