/** The command under ringkeep: its input and output, signals, when snapshots are taken, what is printed. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { requireAgreement } from './testing/agreement.ts';
import { record, ringkeep, show, start, Workplace, withSummary } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

describe('the command', () => {
  test('reads ringkeep’s standard input and writes its standard output and error', async () => {
    const { status, stdout, stderr } = await ringkeep(['record', '--', 'sh', '-c', 'cat; echo warned >&2; exit 42'], {
      input: 'one\ntwo\n',
    });

    expect(status).toBe(42);
    expect(stdout).toBe('one\ntwo\n');
    expect(stderr).toMatch(/^warned$/m);
  });

  test('gets its arguments unchanged', async () => {
    const script = 'for each; do printf "<%s>" "$each"; done';
    const args = ['-o', '$HOME', "it's", 'two words', '', '*', '--json'];
    const { stdout } = await ringkeep(['record', '--', 'sh', '-c', script, 'sh', ...args]);

    expect(stdout).toBe(args.map((arg) => `<${arg}>`).join(''));
  });

  test('has the descriptors and the environment that it would have without ringkeep', async () => {
    const script = ['-c', 'ls /proc/self/fd; env | sort'];
    const { stdout } = await ringkeep(['record', '--', 'sh', ...script]);
    // Started by Node too, which adds descriptors.
    const without = spawnSync('sh', script, {
      env: { ...process.env, NODE_OPTIONS: '' },
      cwd: tmpdir(),
      timeout: 10_000,
    });

    expect(stdout).toBe(without.stdout.toString());
  });

  test.for([0, 1, 3, 127, 255])('that exits with %i gives its status', async (code) => {
    expect((await ringkeep(['record', '--', 'sh', '-c', `exit ${code}`])).status).toBe(code);
  });
});

describe('a signal', () => {
  test('USR2 saves a snapshot at once, and the command goes on', async (context) => {
    needs(context, 'gcc', 'perf events');
    const place = new Workplace();
    const output = place.file('now.perf.data');
    const running = start(['record', '--json', '-o', output, '--', testProgram('naps-until-eof'), '3']);
    await running.untilSaid('ready');
    running.kill('SIGUSR2');
    await running.until('the snapshot', () => existsSync(output));
    running.kill('SIGUSR2');
    await running.until('the second snapshot', () => existsSync(place.file('now-2.perf.data')));
    // A snapshot is renamed to its name when it is complete.
    expect(show(output)).toMatchObject({ death: null, reason: 'signal', damage: [] });
    requireAgreement(output);
    running.input.end();
    const { status, stdout, summary } = withSummary(await running.ended);

    expect(status).toBe(0);
    expect(stdout).toMatch(/^ready\ndone\n/);
    expect(summary.snapshots).toEqual([output, place.file('now-2.perf.data')]);
    expect(summary).toMatchObject({ death: null, snapshot: place.file('now-2.perf.data'), tasks: 4, lost: 0 });
    const [first, second] = summary.snapshots.map((path) => show(path));
    expect(first!.threads.filter(({ state }) => state !== 'exited')).toHaveLength(4);
    expect(BigInt(second!.endNs!)).toBeGreaterThan(BigInt(first!.endNs!));
    expect(running.leftovers()).toEqual([]);
  });

  test('TERM is passed on, and the command’s end is ringkeep’s', async (context) => {
    needs(context, 'gcc', 'perf events');
    const output = new Workplace().file('term.perf.data');
    const running = start(['record', '--json', '-o', output, '--', testProgram('naps-until-eof'), '2']);
    await running.untilSaid('ready');
    running.kill('SIGTERM');
    const { status, signal, summary } = withSummary(await running.ended);

    expect({ status, signal }).toEqual({ status: 128 + constants.signals.SIGTERM, signal: null });
    expect(summary.death).toMatchObject({ signal: 'SIGTERM' });
    expect(show(summary.snapshot!).death).toEqual(summary.death);
    expect(running.leftovers()).toEqual([]);
  });

  test('TERM that the command handles ends it with the command’s own status', async () => {
    const running = start([
      'record',
      '--json',
      '--',
      'sh',
      '-c',
      'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done',
    ]);
    await running.untilSaid('ready');
    running.kill('SIGTERM');
    const { status, summary } = withSummary(await running.ended);

    expect(status).toBe(9);
    expect(summary).toMatchObject({ death: null, snapshot: null });
  });

  test('INT from the terminal ends the command, and ringkeep saves its rings', async (context) => {
    needs(context, 'gcc', 'perf events');
    const output = new Workplace().file('int.perf.data');
    const running = start(['record', '--json', '-o', output, '--', testProgram('naps-until-eof'), '2']);
    await running.untilSaid('ready');
    running.killGroup('SIGINT');
    const { status, summary } = withSummary(await running.ended);

    expect(status).toBe(128 + constants.signals.SIGINT);
    expect(summary.snapshot).toBe(output);
    expect(running.leftovers()).toEqual([]);
  });

  test('INT from the terminal that the command outlives does not end ringkeep', async () => {
    const running = start([
      'record',
      '--json',
      '--',
      'sh',
      '-c',
      'trap "" INT; echo ready; read line; echo "$line"; exit 5',
    ]);
    await running.untilSaid('ready');
    running.killGroup('SIGINT');
    running.input.end('still here\n');
    const { status, stdout } = withSummary(await running.ended);

    expect(status).toBe(5);
    expect(stdout).toMatch(/^ready\nstill here\n/);
  });

  test('that comes before the command runs is passed on to it', async () => {
    const running = start(['record', '--', 'sleep', '60'], { input: '' });
    await running.until('rings or an error', () => running.ringDirectory() !== null || running.stderr !== '');
    running.kill('SIGTERM');

    expect((await running.ended).status).toBe(128 + constants.signals.SIGTERM);
    expect(running.leftovers()).toEqual([]);
  });
});

describe('--snapshot', () => {
  test('always saves a run that ends well', async (context) => {
    needs(context, 'gcc', 'perf events');
    const output = new Workplace().file('always.perf.data');
    const { status, summary } = await record(['-o', output, '--snapshot', 'always'], [testProgram('ping-pong'), '100']);

    expect(status).toBe(0);
    expect(summary).toMatchObject({ snapshot: output, snapshots: [output], death: null });
    expect(show(output)).toMatchObject({ death: null, reason: 'exit', damage: [] });
  });

  test('never saves nothing, whatever happens, and still reports the death', async (context) => {
    needs(context, 'gcc', 'perf events');
    const place = new Workplace();
    const { status, stderr, summary } = await record(
      ['-o', place.file('never.perf.data'), '--snapshot', 'never'],
      [testProgram('dies-of'), 'SIGSEGV', '2'],
    );

    expect(status).toBe(128 + constants.signals.SIGSEGV);
    expect(summary).toMatchObject({ snapshot: null, snapshots: [], death: { signal: 'SIGSEGV', comm: 'victim' } });
    expect(stderr).toMatch(/died of SIGSEGV/);
    expect(readdirSync(place.path)).toEqual([]);
  });

  test('is named after ringkeep’s pid, in the working directory, unless -o is given', async (context) => {
    needs(context, 'gcc', 'perf events');
    const place = new Workplace();
    const { summary } = await record([], [testProgram('dies-of'), 'SIGSEGV'], { cwd: place.path });

    expect(readdirSync(place.path)).toEqual([expect.stringMatching(/^ringkeep-\d+\.perf\.data$/)]);
    expect(summary.snapshot).toBe(place.file(readdirSync(place.path)[0]!));
  });
});

describe('the summary', () => {
  const KEYS = [
    'source',
    'tasks',
    'records',
    'lost',
    'pins',
    'unpins',
    'pinnedBytes',
    'ringBytes',
    'recorderCpuSeconds',
    'wallSeconds',
    'snapshot',
    'death',
    'degraded',
  ];

  test('is one line, the last of standard output, with every key of the contract', async () => {
    const { stdout, summary } = await record(['--snapshot', 'never'], ['sh', '-c', 'printf "no newline"; exit 0']);

    expect(Object.keys(summary)).toEqual(expect.arrayContaining(KEYS));
    expect(Object.keys(summary.pinnedBytes)).toEqual(expect.arrayContaining(['now', 'peak', 'bound']));
    expect(summary).toMatchObject({ snapshot: null, death: null, degraded: expect.any(Array) });
    expect(summary.recorderCpuSeconds).toBeGreaterThan(0);
    expect(summary.wallSeconds).toBeGreaterThan(0);
    expect(stdout.startsWith('no newline')).toBe(true);
  });

  test('is not printed without --json', async () => {
    expect((await ringkeep(['record', '--', 'true'])).stdout).toBe('');
  });
});
