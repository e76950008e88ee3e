/** Wrong usage: one sentence of cause, one of remedy, an exit status for it, and no command is run. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ringkeep, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

const FAILURE = 1;
const USAGE = 2;

/** A command that creates a file when it runs. */
function markingCommand(place: Workplace): { command: string[]; hasRun: () => boolean } {
  const mark = place.file('it-ran');
  return { command: ['touch', mark], hasRun: () => existsSync(mark) };
}

describe.each([
  { what: 'an unknown option', options: ['--colour'], says: /unknown option '--colour'/ },
  { what: 'a ring that is no power of two', options: ['--ring', '100KiB'], says: /power of two/ },
  { what: 'a ring that is too small', options: ['--ring', '1KiB'], says: /power of two from 4KiB/ },
  { what: 'a size without digits', options: ['--keep-dead', 'plenty'], says: /such as 64KiB/ },
  { what: 'a frequency that is no number', options: ['--freq', 'often'], says: /whole number/ },
  { what: 'a frequency below zero', options: ['--freq', '-1'], says: /whole number/ },
  { what: 'an unknown source', options: ['--source', 'ebpf'], says: /Allowed choices are auto, perf, procfs/ },
  { what: 'an unknown moment of a snapshot', options: ['--snapshot', 'often'], says: /Allowed choices/ },
  { what: 'no slots', options: ['--slots', '0'], says: /whole number from 1/ },
  { what: 'an unknown event', options: ['-e', 'cpu-cluck'], says: /There is no event "cpu-cluck"\./ },
  {
    what: 'an unknown tracepoint',
    options: ['-e', 'sched:nothing'],
    says: /The tracepoint sched:nothing cannot be found/,
  },
])('$what', ({ what, options, says }) => {
  test('is wrong usage, and the command does not run', async (context) => {
    // Without access to tracefs a tracepoint that does not exist is reported otherwise.
    if (what === 'an unknown tracepoint') needs(context, 'root');
    const { command, hasRun } = markingCommand(new Workplace());
    const { status, stdout, stderr } = await ringkeep(['record', ...options, '--', ...command]);

    expect(status).toBe(USAGE);
    expect(stderr).toMatch(says);
    expect(stderr.trimEnd().split('\n').length).toBeGreaterThanOrEqual(2);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stdout).toBe('');
    expect(hasRun()).toBe(false);
  });
});

test('no command at all is wrong usage', async () => {
  const { status, stderr } = await ringkeep(['record']);

  expect(status).toBe(USAGE);
  expect(stderr).toMatch(/missing required argument 'command'/);
});

test('an unknown command of ringkeep’s own is wrong usage', async () => {
  const { status, stderr } = await ringkeep(['rewind']);

  expect(status).toBe(USAGE);
  expect(stderr).toMatch(/unknown command 'rewind'/);
});

test.for([
  ['--help'],
  ['record', '--help'],
  ['show', '--help'],
  ['simulate', '--help'],
  ['plan', '--help'],
  ['--version'],
])('%j is no error', async (args) => {
  const { status, stdout, stderr } = await ringkeep(args);

  expect(status).toBe(0);
  expect(stdout).not.toBe('');
  expect(stderr).toBe('');
});

/** Requires exactly a sentence of cause and a sentence of remedy. */
function expectCauseAndRemedy(stderr: string, cause: RegExp, remedy: RegExp): void {
  const lines = stderr.trimEnd().split('\n');
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(cause);
  expect(lines[1]).toMatch(remedy);
}

describe('a command that cannot be run', () => {
  test('because it is missing', async () => {
    const { status, stderr } = await ringkeep(['record', '--', 'no-such-command-anywhere']);

    expect(status).toBe(FAILURE);
    expectCauseAndRemedy(
      stderr,
      /^The command "no-such-command-anywhere" cannot be run: not found\.$/,
      /Check the spelling/,
    );
  });

  test('because it is not executable', async () => {
    const file = new Workplace().file('plain.txt');
    writeFileSync(file, 'nothing to run\n', { mode: 0o644 });
    const { status, stderr } = await ringkeep(['record', '--', file]);

    expect(status).toBe(FAILURE);
    expectCauseAndRemedy(stderr, /cannot be run: not executable\.$/, /permissions/);
  });

  test('because it is a directory', async () => {
    const { status, stderr } = await ringkeep(['record', '--', new Workplace().path]);

    expect(status).toBe(FAILURE);
    expectCauseAndRemedy(stderr, /cannot be run: not a file\.$/, /Check the spelling/);
  });
});

describe('a snapshot that cannot be written is reported at once, and the command runs', () => {
  const reported = /The snapshot .* cannot be written in .*\.$/m;

  test('in a directory that is missing', async () => {
    const place = new Workplace();
    const { command, hasRun } = markingCommand(place);
    const { status, stderr } = await ringkeep(['record', '-o', place.file('missing/x.perf.data'), '--', ...command]);

    expect(status).toBe(0);
    expect(stderr).toMatch(reported);
    expect(stderr).toMatch(/Use -o with a file/);
    expect(hasRun()).toBe(true);
  });

  test('in a directory of another user', async (context) => {
    needs(context, 'root');
    const place = new Workplace();
    const { command, hasRun } = markingCommand(place);
    mkdirSync(place.file('roots'), { mode: 0o755 });
    const args = ['record', '-o', place.file('roots/x.perf.data'), '--', ...command];
    const { status, stderr } = await ringkeep(args, { as: 'nobody' });

    expect(status).toBe(0);
    expect(stderr).toMatch(reported);
    expect(hasRun()).toBe(true);
  });

  test('over a directory of that name', async () => {
    const place = new Workplace();
    const { command, hasRun } = markingCommand(place);
    const { status, stderr } = await ringkeep(['record', '-o', place.path, '--', ...command]);

    expect(status).toBe(0);
    expect(stderr).toMatch(reported);
    expect(hasRun()).toBe(true);
  });

  test('but not when none is wanted', async () => {
    const place = new Workplace();
    const { command, hasRun } = markingCommand(place);
    const args = ['record', '--snapshot', 'never', '-o', place.file('missing/x'), '--', ...command];
    const { status, stderr } = await ringkeep(args);

    expect(status).toBe(0);
    expect(stderr).not.toMatch(reported);
    expect(hasRun()).toBe(true);
  });
});

describe('show', () => {
  test('of a missing file fails with cause and remedy', async () => {
    const { status, stderr } = await ringkeep(['show', new Workplace().file('none.perf.data')]);

    expect(status).toBe(FAILURE);
    expectCauseAndRemedy(stderr, /^Cannot read .*none\.perf\.data\.$/, /Check the file's name/);
  });

  test('of a file that is no capture fails with cause and remedy', async () => {
    const file = new Workplace().file('text');
    writeFileSync(file, 'this is no perf.data file, however long it may be\n'.repeat(10));
    const { status, stderr } = await ringkeep(['show', file]);

    expect(status).toBe(FAILURE);
    expectCauseAndRemedy(stderr, /\.$/, /perf record/);
  });
});

describe.each([
  { args: ['--cpus', '0'], says: /whole number from 1 to 4096/ },
  { args: ['--length', '5'], says: /such as 200ms/ },
  { args: ['--utilisation', '1'], says: /number from 0\.001 to 0\.999/ },
  { args: ['--slots', '1,two'], says: /whole number from 1/ },
  { args: ['--memory', 'much'], says: /such as 64KiB/ },
  { args: ['--ring', '100KiB'], says: /power of two/ },
  { args: ['--cost', 'lock-10=1us'], says: /There is no cost "lock-10"; there are lock-1, / },
  { args: ['--cost', 'lock-9=fast'], says: /"fast" is not a duration/ },
  { args: ['--from', 'x.perf.data', '--tasks', '5'], says: /--tasks applies to a generated workload/ },
  { args: ['--tasks', '1000000', '--ring', '1GiB', '--length', '1ns'], says: /too many to simulate/ },
])('simulate $args', ({ args, says }) => {
  test('is wrong usage', async () => {
    const { status, stdout, stderr } = await ringkeep(['simulate', ...args]);

    expect(status).toBe(USAGE);
    expect(stderr).toMatch(says);
    expect(stderr.trimEnd().split('\n').length).toBeGreaterThanOrEqual(2);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stdout).toBe('');
  });
});

describe('plan', () => {
  test('without a file is wrong usage', async () => {
    expect((await ringkeep(['plan'])).status).toBe(USAGE);
  });

  test('of a capture without switches fails with cause and remedy', async (context) => {
    needs(context, 'perf events');
    const place = new Workplace();
    const capture = place.file('x.perf.data');
    await ringkeep(['record', '--source', 'procfs', '--snapshot', 'always', '-o', capture, '--', 'sleep', '0.3']);
    const { status, stderr } = await ringkeep(['plan', capture]);

    expect(status).toBe(FAILURE);
    expectCauseAndRemedy(stderr, /^The capture has no switches: /, /Record with `perf sched record`/);
  });

  test('with a budget below one ring a CPU fails with the least that is enough', async (context) => {
    needs(context, 'perf events');
    const capture = new Workplace().file('x.perf.data');
    await ringkeep(['record', '--source', 'perf', '--snapshot', 'always', '-o', capture, '--', 'sleep', '0.1']);
    const { status, stderr } = await ringkeep(['plan', '--lock-budget', '4KiB', capture]);

    expect(status).toBe(USAGE);
    expectCauseAndRemedy(
      stderr,
      /^A lock budget of 4KiB is too small for one ring/,
      /^Use --lock-budget \d+KiB or more/,
    );
  });

  test('whose chart cannot be written fails with cause and remedy', async () => {
    const place = new Workplace();
    const args = ['--cpus', '1', '--tasks', '2', '--length', '10ms', '--plot', place.file('missing/x.svg')];
    const { status, stderr } = await ringkeep(['simulate', ...args]);

    expect(status).toBe(FAILURE);
    expectCauseAndRemedy(
      stderr,
      /^The chart .*x\.svg cannot be written\.$/,
      /Use .* with a file in a writable directory/,
    );
  });
});
