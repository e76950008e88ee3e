/**
 * Names of frames compared with perf's and with a JIT compiler's map; and of files that were replaced after the
 * recording.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { afterAll, expect, onTestFinished, test, vi } from 'vitest';
import { run } from '../src/snapshot/testing/perf-tool.ts';
import { ElfImage } from '../src/symbols/elf-image.ts';
import { allFrames, type NameAgreement, nameAgreement, shareEqual } from './testing/name-agreement.ts';
import { once, record, recordWithNames, show, Workplace } from './testing/ringkeep.ts';
import { needs, PYTHON } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const OFTEN = ['--freq', '1999', '--ring', '1MiB', '--snapshot', 'always'];

/** Records the command and compares all names in the snapshot with perf's. */
async function recorded(place: Workplace, events: readonly string[], ...command: string[]): Promise<NameAgreement> {
  const output = place.file('snapshot.perf.data');
  const { status } = await recordWithNames([...OFTEN, ...events, '-o', output], command);
  expect(status).toBe(0);
  return nameAgreement(output);
}

function expectAgreement(agreement: NameAgreement): void {
  expect(agreement.problems).toEqual([]);
  expect(agreement.equal).toBeGreaterThan(300);
  expect(shareEqual(agreement), JSON.stringify([...agreement.different])).toBeGreaterThanOrEqual(0.99);
}

const place = new Workplace(afterAll);
const inC = once(() => recorded(place, [], testProgram('named-work'), '500'));

test('frames of C have the names that perf gives them, in the program, the C library and the vdso', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const agreement = await inC();
  expectAgreement(agreement);
  expect([...agreement.names]).toEqual(expect.arrayContaining(['spin_in_static', 'work', 'by_value']));
});

test('kernel frames have the names that perf gives them', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf', 'root');
  const agreement = await inC();
  expectAgreement(agreement);
  expect(agreement.equalInKernel).toBeGreaterThan(50);
});

test('frames of C++ have the names that perf gives them, and are shown as they were written', async (context) => {
  needs(context, 'g++', 'perf events', 'perf');
  const agreement = await recorded(new Workplace(), [], testProgram('named-classes'), '500');
  expectAgreement(agreement);
  const names = [...agreement.names];
  expect(names).toContain('outer::sorted');
  expect(names).toContain('outer::(anonymous namespace)::Wheel::turn');
  expect(names.some((name) => name.startsWith('outer::Table<') && name.endsWith('::fill'))).toBe(true);
});

test('frames of Python have the names that perf gives them', async (context) => {
  needs(context, 'python', 'perf events', 'perf');
  const program = 'import json\nfor i in range(110): json.loads(json.dumps({str(k): [k] for k in range(4000)}))';
  expectAgreement(await recorded(new Workplace(), [], PYTHON, '-c', program));
});

test('a caller is named by its call, even where the call is its last instruction', async (context) => {
  needs(context, 'gcc', 'perf events');
  const output = new Workplace().file('snapshot.perf.data');
  await recordWithNames([...OFTEN, '-o', output], [testProgram('never-returns'), '150']);
  const callers = allFrames(output).frames.flatMap(({ name }, index, all) =>
    all[index - 1]?.name === 'never_returns' ? [`${name} < ${all[index + 1]?.name}`] : [],
  );
  expect(new Set(callers)).toEqual(new Set(['calls_last < main']));
});

test('a file of perf record has the names that perf script gives it', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const output = new Workplace().file('perf.data');
  const args = ['record', '-q', '-N', '-g', '-e', 'cpu-clock', '-F', '1999', '-o', output, '--'];
  expect(run('perf', ...args, testProgram('named-work'), '500').status).toBe(0);
  expectAgreement(nameAgreement(output));
});

/** Records the fixture, compiled to JavaScript, under Node, which writes a map of its code; the map's lines. */
async function recordedScript(place: Workplace, output: string): Promise<string[]> {
  const source = join(import.meta.dirname, 'fixtures', 'named-script.ts');
  const { outputText, sourceMapText } = ts.transpileModule(readFileSync(source, 'utf8'), {
    fileName: source,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      sourceMap: true,
      removeComments: true,
    },
  });
  const script = place.file('named-script.mjs');
  writeFileSync(script, outputText.replace(/sourceMappingURL=.*/, 'sourceMappingURL=named-script.mjs.map'));
  writeFileSync(`${script}.map`, sourceMapText!);
  const command = [process.execPath, '--perf-basic-prof-only-functions', '--interpreted-frames-native-stack', script];
  const { status } = await recordWithNames([...OFTEN, '-o', output], [...command, '500']);
  expect(status).toBe(0);
  const { pid } = show(output).threads.find(({ pid, tid }) => pid === tid)!;
  const map = `/tmp/perf-${pid}.map`;
  onTestFinished(() => rmSync(map, { force: true }));
  return readFileSync(map, 'utf8').trimEnd().split('\n');
}

test('frames of Node have the names that V8 gave them, and the lines of the TypeScript source', async (context) => {
  needs(context, 'perf events', 'perf');
  const place = new Workplace();
  const output = place.file('node.perf.data');
  const lines = await recordedScript(place, output);
  const byV8 = new Set(lines.map((line) => line.replace(/^\S+ \S+ /, '')));

  const scripted = allFrames(output).frames.filter(({ source }) => source !== null);
  expect(scripted.length).toBeGreaterThan(0);
  for (const { symbol } of scripted) expect(byV8).toContain(symbol);
  const written = readFileSync(join(import.meta.dirname, 'fixtures', 'named-script.ts'), 'utf8').split('\n');
  const search = scripted.find(({ name }) => name === 'searchUpTo');
  expect(search?.source?.file).toMatch(/named-script\.ts$/);
  expect(written[search!.source!.line - 1]).toContain('searchUpTo(task: Task)');
  const { equal, different } = nameAgreement(output);
  expect(shareEqual({ equal, different } as NameAgreement), JSON.stringify([...different])).toBeGreaterThanOrEqual(
    0.99,
  );
});

test('without names in the snapshot, a program that was rebuilt gives none, which is reported', async (context) => {
  needs(context, 'gcc', 'perf events', 'objcopy');
  const place = new Workplace();
  const program = place.file('program');
  copyFileSync(testProgram('named-work'), program);
  const output = place.file('snapshot.perf.data');
  await record([...OFTEN, '-o', output], [program, '150']);
  expect(namesIn(output, program)).toContain('work');

  withoutCopies(place);
  rmSync(program);
  copyFileSync(testProgram('ping-pong'), program);
  expect(namesIn(output, program)).toEqual([]);
  expect(allFrames(output).problems).toContain(`no names from ${program}: it is not the recorded file`);

  rmSync(program);
  expect(namesIn(output, program)).toEqual([]);
  expect(allFrames(output).problems).toContain(`no names from ${program}: it cannot be read here`);
});

test('a stripped program has the names of its debug file, by link and by build id', async (context) => {
  needs(context, 'gcc', 'perf events', 'objcopy');
  const place = new Workplace();
  withoutCopies(place);
  const program = place.file('program');
  const debug = place.file('program.debug');
  objcopy('--only-keep-debug', testProgram('named-work'), debug);
  objcopy('--strip-all', `--add-gnu-debuglink=${debug}`, testProgram('named-work'), program);
  const output = place.file('snapshot.perf.data');
  await record([...OFTEN, '-o', output], [program, '150']);
  expect(namesIn(output, program)).toContain('work');

  const bytes = readFileSync(program);
  const { buildId } = ElfImage.parse((offset, length) => bytes.subarray(offset, offset + length))!;
  const cached = place.file(`cache/${buildId}/debuginfo`);
  mkdirSync(dirname(cached), { recursive: true });
  copyFileSync(debug, cached);
  rmSync(debug);
  expect(namesIn(output, program)).not.toContain('work');
  vi.stubEnv('DEBUGINFOD_CACHE_PATH', place.file('cache'));
  expect(namesIn(output, program)).toContain('work');
});

/** perf keeps copies of what it recorded below $HOME, by build id. */
function withoutCopies(place: Workplace): void {
  vi.stubEnv('HOME', place.path);
  onTestFinished(() => void vi.unstubAllEnvs());
}

function objcopy(...args: string[]): void {
  const { status, stderr } = run('objcopy', ...args);
  if (status !== 0) throw new Error(`objcopy ${args.join(' ')}: ${stderr}`);
}

/** All names that frames in a file have. */
function namesIn(snapshot: string, file: string): string[] {
  return allFrames(snapshot).frames.flatMap((frame) =>
    frame.file === file && frame.name !== null ? [frame.name] : [],
  );
}
