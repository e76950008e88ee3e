/**
 * Programs that die of a signal: the exit status, the thread that took it, the snapshot and what it holds.
 * perf and ringkeep are compared on one snapshot of each kind: of threads, of forks, of an exec, of Node and of Python.
 */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { afterAll, describe, expect, test } from 'vitest';
import { requireAgreement } from './testing/agreement.ts';
import { type Launch, once, record, show, Workplace } from './testing/ringkeep.ts';
import { needs, PYTHON } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const SIGNALS = ['SIGSEGV', 'SIGABRT', 'SIGKILL', 'SIGBUS'] as const;
type Signal = (typeof SIGNALS)[number];

/** The tid that `dies-of` says is the victim's. */
function victimOf(stdout: string): number {
  return Number(/^victim (\d+)$/m.exec(stdout)?.[1]);
}

const place = new Workplace(afterAll);

function recordDeath(cause: string, threads: number, launch: Launch = {}) {
  const output = place.file(`${cause}-${threads}.perf.data`);
  return record(['-o', output], [testProgram('dies-of'), cause, `${threads}`], launch);
}

const manyThreads = once(() => recordDeath('SIGSEGV', 200));

describe.each([0, 200])('a program with %i threads beside main', (threads) => {
  test.for(SIGNALS)('that dies of %s is saved with the thread that took it', async (signal, context) => {
    needs(context, 'gcc', 'perf events');
    const { status, stdout, summary } = await (threads > 0 && signal === 'SIGSEGV'
      ? manyThreads()
      : recordDeath(signal, threads));

    expect(status).toBe(128 + constants.signals[signal]);
    expect(summary.exit).toEqual({ code: null, signal });
    expect(summary.source).toBe('perf');
    expect(summary.tasks).toBe(threads + 1);
    expect(summary).toMatchObject({ lost: 0, unrecordedTasks: 0, deaths: 1 });
    // SIGKILL is sent to the process: the main thread is reported.
    const victim = victimOf(stdout);
    const pid = summary.death!.pid;
    expect(summary.death).toMatchObject({ signal, tid: signal === 'SIGKILL' ? pid : victim });

    const report = show(summary.snapshot!);
    expect(report.death).toEqual(summary.death);
    expect(report.damage).toEqual([]);
    expect(report.threads).toHaveLength(threads + 1);
    expect(new Set(report.threads.map(({ tid }) => tid)).size).toBe(threads + 1);
    expect(report.threads[0]).toMatchObject({ tid: summary.death!.tid, tookSignal: true, state: 'killed', signal });
    expect(report.threads.every(({ pid: own, state }) => own === pid && state === 'killed')).toBe(true);
    if (threads > 0) {
      expect(report.threads.filter(({ comm }) => comm === 'victim').map(({ tid }) => tid)).toEqual([victim]);
      expect(report.threads.filter(({ comm }) => comm === 'sleeper')).toHaveLength(threads - 1);
    }
    expect(report.threads.every(({ records }) => records > 0)).toBe(true);
    if (threads > 0 && signal === 'SIGSEGV') requireAgreement(summary.snapshot!);
  });

  test('that exits with 3 is not saved', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { status, summary } = await recordDeath('exit-3', threads);

    expect(status).toBe(3);
    expect(summary).toMatchObject({
      death: null,
      deaths: 0,
      snapshot: null,
      snapshots: [],
      tasks: threads + 1,
      lost: 0,
    });
  });
});

describe('the evidence for the thread that took the signal', () => {
  test('is the tracepoint signal_deliver where tracepoints are permitted', async (context) => {
    needs(context, 'gcc', 'perf events', 'root', 'tracefs');
    const { stdout, summary } = await manyThreads();

    expect(summary.death).toMatchObject({ tid: victimOf(stdout), comm: 'victim', evidence: 'signal-deliver' });
  });

  // An inference: it is wrong when no CPU runs the process for a while in the middle of its death.
  test('is the first thread to exit where they are not', { retry: 2 }, async (context) => {
    needs(context, 'gcc', 'perf events', 'root');
    const { stdout, summary } = await recordDeath('SIGSEGV', 200, { as: 'nobody' });

    expect(summary.death).toMatchObject({ tid: victimOf(stdout), comm: 'victim', evidence: 'first-exit' });
  });
});

describe('the post-mortem on the terminal', () => {
  test('begins with the death and marks the thread', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { stdout, stderr, summary } = await manyThreads();
    const victim = victimOf(stdout);

    expect(stderr).toContain(`pid ${summary.death!.pid} (dies-of) died of SIGSEGV in thread ${victim} (victim)`);
    expect(stderr).toMatch(new RegExp(`^> +${victim} +victim +killed`, 'm'));
    expect(stderr).toContain(`saved: ${summary.snapshot}`);
  });
});

describe('children that die first', () => {
  /** `PID CAUSE` of each child of `forks`. */
  const childrenOf = (stdout: string) =>
    [...stdout.matchAll(/^child (\d+) (\S+)$/gm)].map(([, pid, cause]) => ({ pid: Number(pid), cause }));
  /** Longer than a recorder takes to read a FORK record; without tracepoints it has to have read it. */
  const LIFE_MS = '300';
  const LONG_LIFE_MS = '1000';

  test.for([undefined, 'nobody'] as const)(
    'are saved one by one, and the first is reported when the parent lives (as %s)',
    async (as, context) => {
      needs(context, 'gcc', 'perf events', ...(as ? (['root'] as const) : []));
      const place = new Workplace();
      const { status, stdout, summary } = await record(
        ['-o', place.file('family.perf.data')],
        [testProgram('forks'), as ? LONG_LIFE_MS : LIFE_MS, 'exit-0', 'SIGSEGV', 'exit-3', 'SIGABRT'],
        as ? { as } : {},
      );
      const [first, , third] = childrenOf(stdout);

      expect(status).toBe(0);
      expect(summary).toMatchObject({ tasks: 4, deaths: 2, unknownEnds: 0, lost: 0 });
      expect(summary.death).toMatchObject({ pid: first!.pid, tid: first!.pid, comm: 'child', signal: 'SIGSEGV' });
      expect(summary.snapshots).toEqual([place.file('family.perf.data'), place.file('family-2.perf.data')]);
      expect(summary.snapshot).toBe(place.file('family.perf.data'));
      expect(show(summary.snapshots[0]!).death).toMatchObject({ pid: first!.pid, signal: 'SIGSEGV' });
      expect(show(summary.snapshots[1]!).death).toMatchObject({ pid: third!.pid, signal: 'SIGABRT' });
      if (as) requireAgreement(summary.snapshots[0]!);
    },
  );

  test('do not replace the command’s own death', async (context) => {
    needs(context, 'gcc', 'perf events');
    const place = new Workplace();
    const { status, summary } = await record(
      ['-o', place.file('family.perf.data')],
      [testProgram('forks'), LIFE_MS, 'SIGBUS', 'SIGSEGV', 'SIGKILL'],
    );

    expect(status).toBe(128 + constants.signals.SIGBUS);
    expect(summary).toMatchObject({ tasks: 3, deaths: 3 });
    expect(summary.snapshots).toHaveLength(3);
    const report = show(summary.snapshot!);
    expect(summary.death).toMatchObject({ signal: 'SIGBUS', comm: 'forks' });
    expect(report.death).toEqual(summary.death);
    expect(report.threads[0]).toMatchObject({ tid: summary.death!.pid, tookSignal: true });
    expect(report.threads).toHaveLength(3);
  });

  test('in a crash loop are all counted, and only the first few saved', async (context) => {
    needs(context, 'gcc', 'perf events');
    const place = new Workplace();
    const { status, summary } = await record(
      ['-o', place.file('crash-loop.perf.data')],
      [testProgram('forks'), LIFE_MS, 'exit-1', ...Array.from({ length: 10 }, () => 'SIGKILL')],
    );

    expect(status).toBe(1);
    expect(summary.deaths).toBe(10);
    expect(summary.snapshots.length).toBeGreaterThan(0);
    expect(summary.snapshots.length).toBeLessThan(10);
    expect(summary.snapshots.every((path) => existsSync(path))).toBe(true);
  });

  test('at once after their fork are saved where signals are recorded', async (context) => {
    needs(context, 'gcc', 'perf events', 'root', 'tracefs');
    const place = new Workplace();
    const { status, stdout, summary } = await record(
      ['-o', place.file('short.perf.data')],
      [testProgram('forks'), '1', 'exit-0', 'SIGSEGV', 'SIGABRT'],
    );
    const [first] = childrenOf(stdout);

    expect(status).toBe(0);
    expect(summary.deaths).toBe(2);
    expect(summary.death).toMatchObject({ pid: first!.pid, comm: 'child', signal: 'SIGSEGV' });
    expect(show(summary.snapshot!).threads[0]).toMatchObject({ tid: first!.pid, tookSignal: true });
  });

  test('at once after their fork are counted where signals are not recorded', async (context) => {
    needs(context, 'gcc', 'perf events', 'root');
    const { status, summary } = await record(
      ['-o', new Workplace().file('short.perf.data')],
      [testProgram('forks'), '1', 'exit-0', ...Array.from({ length: 5 }, () => 'SIGSEGV')],
      { as: 'nobody' },
    );

    expect(status).toBe(0);
    expect(summary.deaths + summary.unknownEnds).toBe(5);
    if (summary.unknownEnds > 0)
      expect(summary.degraded.join('\n')).toContain(
        `the exit status of ${summary.unknownEnds} short-lived processes is unknown`,
      );
  });
});

describe('a program that becomes another by an exec', () => {
  test.for(['main', 'thread'] as const)('of its %s dies under its new name', async (who, context) => {
    needs(context, 'gcc', 'perf events');
    const place = new Workplace();
    const sleepers = 3;
    const { status, stdout, summary } = await record(
      ['-o', place.file('exec.perf.data')],
      [testProgram('execs'), who, `${sleepers}`, testProgram('dies-of'), 'SIGSEGV', '2'],
    );

    expect(status).toBe(128 + constants.signals.SIGSEGV);
    expect(summary.death).toMatchObject({ tid: victimOf(stdout), comm: 'victim', signal: 'SIGSEGV' });
    expect(summary).toMatchObject({ lost: 0, deaths: 1 });
    // A thread that calls exec takes main's TID, and gets a new ring under it.
    const ofExec = who === 'thread' ? 2 : 0;
    expect(summary.tasks).toBe(1 + sleepers + ofExec + 2);

    const { threads, death, damage } = show(summary.snapshot!);
    expect(death).toEqual(summary.death);
    expect(damage).toEqual([]);
    expect(threads).toHaveLength(summary.tasks);
    expect(threads[0]).toMatchObject({ comm: 'victim', state: 'killed' });
    const killed = threads.filter(({ state }) => state === 'killed');
    expect(killed.map(({ comm }) => comm).sort()).toEqual(['dies-of', 'sleeper', 'victim']);
    expect(killed.every(({ records }) => records > 0)).toBe(true);
    const leftBehind = threads.filter(({ comm }) => comm === 'left-behind');
    expect(leftBehind.map(({ state }) => state)).toEqual(Array(sleepers).fill('exited'));
    if (who === 'thread') requireAgreement(summary.snapshot!);
  });

  test('through a shell ends with the status of the last', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { status, summary } = await record(
      ['-o', new Workplace().file('shell.perf.data')],
      ['sh', '-c', 'exec "$0" exit-3', testProgram('dies-of')],
    );

    expect(status).toBe(3);
    expect(summary).toMatchObject({ tasks: 1, death: null, snapshot: null });
  });
});

describe.each([
  {
    language: 'Node',
    command: (signal: Signal) => [process.execPath, '-e', NODE_DEATHS[signal]],
    comm: 'node',
  },
  { language: 'Python', command: (signal: Signal) => [PYTHON, '-c', PYTHON_DEATHS[signal]], comm: 'python' },
])('a $language program', ({ language, command, comm }) => {
  test.for(SIGNALS)('that dies of %s is saved with all its threads', async (signal, context) => {
    needs(context, 'perf events', ...(language === 'Python' ? (['python'] as const) : []));
    const place = new Workplace();
    const { status, summary } = await record(['-o', place.file('death.perf.data')], command(signal));

    expect(status).toBe(128 + constants.signals[signal]);
    const { death } = summary;
    expect(death).toMatchObject({ signal, comm: expect.stringContaining(comm), tid: death!.pid });
    const report = show(summary.snapshot!);
    expect(report.death).toEqual(death);
    expect(report.threads).toHaveLength(summary.tasks);
    expect(report.threads[0]).toMatchObject({ tid: death!.tid, tookSignal: true });
    expect(report.damage).toEqual([]);
    if (signal === 'SIGABRT') requireAgreement(summary.snapshot!);
  });
});

/** By a fault where the language has one; Node turns some of them into others. */
const NODE_DEATHS: Record<Signal, string> = {
  SIGABRT: 'setTimeout(() => process.abort(), 20)',
  SIGBUS: 'process.kill(process.pid, "SIGBUS"); setTimeout(() => {}, 1e6)',
  SIGKILL: 'process.kill(process.pid, "SIGKILL"); setTimeout(() => {}, 1e6)',
  SIGSEGV: 'process.kill(process.pid, "SIGSEGV"); setTimeout(() => {}, 1e6)',
};
const PYTHON_DEATHS: Record<Signal, string> = {
  SIGABRT: 'import os; os.abort()',
  SIGBUS:
    'import mmap, tempfile; f = tempfile.TemporaryFile(); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.truncate(0); m[0]',
  SIGKILL: 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)',
  SIGSEGV: 'import ctypes; ctypes.string_at(8)',
};

test('a Node program that exits with 3 is not saved', async (context) => {
  needs(context, 'perf events');
  const { status, summary } = await record([], [process.execPath, '-e', 'process.exit(3)']);

  expect(status).toBe(3);
  expect(summary).toMatchObject({ death: null, snapshot: null });
});

test('a Python thread that crashes is named by its tid', async (context) => {
  needs(context, 'perf events', 'python', 'root', 'tracefs');
  const place = new Workplace();
  const program = [
    'import ctypes, threading',
    'def crash(): print("victim", threading.get_native_id(), flush=True); ctypes.string_at(8)',
    'threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(5)]',
    'threads.append(threading.Thread(target=crash))',
    'for thread in threads: thread.start()',
    'for thread in threads: thread.join()',
  ].join('\n');
  const { status, stdout, summary } = await record(['-o', place.file('death.perf.data')], [PYTHON, '-c', program]);

  expect(status).toBe(128 + constants.signals.SIGSEGV);
  expect(summary.tasks).toBe(7);
  expect(summary.death!.tid).toBe(victimOf(stdout));
  expect(show(summary.snapshot!).threads[0]!.tid).toBe(victimOf(stdout));
});
