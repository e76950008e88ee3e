/**
 * Little memory, few descriptors: the command runs all the same, recorded as far as there is room, and the rest is
 * reported.
 */
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requireAgreement } from './testing/agreement.ts';
import { record, ringkeep, show, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

/** Executes its arguments in a mount namespace in which `script` has run. */
function inNamespace(script: string): string[] {
  return ['unshare', '-m', 'sh', '-c', `${script} && exec "$@"`, 'sh'];
}

const SHM_OF = (size: string) => inNamespace(`mount -t tmpfs -o size=${size} tmpfs /dev/shm`);
const READ_ONLY_SHM = inNamespace('mount -t tmpfs -o ro tmpfs /dev/shm');
/** A /dev with the devices that programs need, without shm. */
const NO_SHM = inNamespace(
  [
    'mount -t tmpfs tmpfs /dev',
    'mknod -m 666 /dev/null c 1 3',
    'mknod -m 666 /dev/zero c 1 5',
    'mknod -m 666 /dev/random c 1 8',
    'mknod -m 666 /dev/urandom c 1 9',
    'ln -s /proc/self/fd /dev/fd',
  ].join(' && '),
);

describe.each([
  { what: 'too small', through: SHM_OF('64k'), says: /since \/dev\/shm: it has \d+ bytes free/ },
  { what: 'read-only', through: READ_ONLY_SHM, says: /since \/dev\/shm: EROFS/ },
  { what: 'missing', through: NO_SHM, says: /since \/dev\/shm: ENOENT/ },
])('with a /dev/shm that is $what', ({ through, says }) => {
  test('the rings are in another directory, which is reported, and the crash is saved', async (context) => {
    needs(context, 'gcc', 'perf events', 'root', 'mount namespaces');
    const place = new Workplace();
    const { status, summary } = await record(
      ['-o', place.file('elsewhere.perf.data')],
      [testProgram('dies-of'), 'SIGSEGV', '4'],
      { through, env: { TMPDIR: place.path } },
    );

    expect(status).toBe(128 + constants.signals.SIGSEGV);
    expect(summary).toMatchObject({ source: 'perf', tasks: 5, lost: 0, unrecordedTasks: 0 });
    expect(summary.degraded.join('\n')).toMatch(says);
    expect(summary.degraded.join('\n')).toContain(`rings are in ${place.path}`);
    const { threads, damage } = show(summary.snapshot!);
    expect(threads).toHaveLength(5);
    expect(damage).toEqual([]);
  });
});

test('with no room for rings anywhere the command runs unrecorded', async (context) => {
  needs(context, 'root', 'mount namespaces');
  const nowhere = inNamespace('mount -t tmpfs -o size=64k tmpfs /dev/shm');
  const { status, stdout, stderr } = await ringkeep(['record', '--', 'sh', '-c', 'echo it ran; exit 5'], {
    through: nowhere,
    cwd: '/',
    env: { TMPDIR: '/dev/shm', XDG_RUNTIME_DIR: '' },
  });

  expect(status).toBe(5);
  expect(stdout).toBe('it ran\n');
  expect(stderr).toMatch(/the command runs unrecorded\. No directory can hold the rings/);
  expect(stderr).toMatch(/^Make \/dev\/shm.* writable/m);
});

test('a /dev/shm that fills up leaves threads unrecorded, counted, and the command unharmed', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'mount namespaces');
  const output = new Workplace().file('full.perf.data');
  const { status, signal, stderr, summary } = await record(
    ['-o', output, '--snapshot', 'always'],
    [testProgram('many-threads'), '200', '2', '6'],
    { through: SHM_OF('1m') },
  );

  expect({ status, signal }).toEqual({ status: 6, signal: null });
  expect(stderr).not.toMatch(/because of a bug/);
  expect(summary.tasks).toBe(201);
  expect(summary.unrecordedTasks).toBeGreaterThan(0);
  expect(summary.lost).toBeGreaterThan(0);
  expect(summary.degraded.join('\n')).toContain(`${summary.unrecordedTasks} tasks went unrecorded`);
  expect(summary.ringBytes).toBeLessThanOrEqual(1024 * 1024);

  const { threads, losses } = show(output);
  expect(threads).toHaveLength(201);
  expect(losses.ringLost).toBe(summary.lost - summary.kernelLost);
  expect(threads.filter(({ lost }) => (lost ?? 0) > 0).length).toBeGreaterThanOrEqual(summary.unrecordedTasks);
});

test('a ring that cannot grow overwrites in its one page: no record is lost, and the newest are kept', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'mount namespaces');
  const output = new Workplace().file('stunted.perf.data');
  const { status, summary } = await record(
    ['-o', output, '--snapshot', 'always', '--ring', '2MiB'],
    [testProgram('ping-pong'), '3000'],
    { through: SHM_OF('1m') },
  );

  expect(status).toBe(0);
  expect(summary).toMatchObject({ tasks: 5, unrecordedTasks: 0 });
  expect(summary.lost).toBe(summary.kernelLost);
  const lines = requireAgreement(output, 'lossy');
  const { threads, losses } = show(output);
  expect(losses.ringLost).toBe(0);
  // Its EXIT is a thread's last record.
  expect(threads.filter(({ overwritten }) => (overwritten ?? 0) > 0)).not.toEqual([]);
  expect(threads.filter(({ state }) => state !== 'exited')).toEqual([]);
  expect(lines.length).toBeGreaterThan(0);
});

/** `ulimit -n` of ringkeep and its command alike. */
const FEW_DESCRIPTORS = ['prlimit', '--nofile=1000:1000'];

describe('with 1,000 descriptors', () => {
  test('1,500 threads are recorded', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { status, summary } = await record(
      ['-o', new Workplace().file('threads.perf.data'), '--snapshot', 'always'],
      [testProgram('many-threads'), '1500', '2', '4'],
      { through: FEW_DESCRIPTORS },
    );

    expect(status).toBe(4);
    expect(summary).toMatchObject({ tasks: 1501, unrecordedTasks: 0, pinFailures: 0 });
    expect(show(summary.snapshot!).threads).toHaveLength(1501);
  });

  test('300 children at once are recorded, and the number of unknown ends is reported', async (context) => {
    needs(context, 'gcc', 'perf events');
    const { status, summary } = await record(
      ['-o', new Workplace().file('children.perf.data'), '--snapshot', 'always'],
      [testProgram('many-children'), '300', 'together', '4'],
      { through: FEW_DESCRIPTORS },
    );

    expect(status).toBe(4);
    expect(summary).toMatchObject({ tasks: 301, unrecordedTasks: 0, lost: 0, deaths: 0 });
    if (summary.unknownEnds > 0)
      expect(summary.degraded.join('\n')).toContain(
        `the exit status of ${summary.unknownEnds} short-lived processes is unknown`,
      );
    expect(show(summary.snapshot!).threads).toHaveLength(301);
  });
});

test('with 40 descriptors the command runs, recorded or not', async (context) => {
  needs(context, 'gcc', 'perf events');
  const { status, stdout, stderr } = await ringkeep(['record', '--', 'sh', '-c', 'echo it ran; exit 5'], {
    through: ['prlimit', '--nofile=40:40'],
  });

  expect(status).toBe(5);
  expect(stdout).toBe('it ran\n');
  expect(stderr).not.toMatch(/because of a bug/);
});

test('with 20 descriptors, too few to record, the command runs, and that is reported', async () => {
  const command = ['sh', '-c', 'exit 3'];
  const { status, stderr } = await ringkeep(['record', '--', ...command], { through: ['prlimit', '--nofile=20:20'] });

  expect(status).toBe(3);
  expect(stderr).toMatch(/the command runs unrecorded/);
});

test('the rings of exited threads stay within --keep-dead, the oldest are evicted first', async (context) => {
  needs(context, 'gcc', 'perf events');
  const capBytes = 1024 * 1024;
  const { status, summary } = await record(
    ['-o', new Workplace().file('dead.perf.data'), '--snapshot', 'always', '--keep-dead', '1MiB'],
    [testProgram('many-children'), '500', 'in-turn', '4'],
  );

  expect(status).toBe(4);
  expect(summary).toMatchObject({ tasks: 501, unrecordedTasks: 0, lost: 0, deaths: 0 });
  expect(summary.evictedRings).toBeGreaterThan(0);
  // At the end all have exited.
  expect(summary.ringBytes).toBeLessThanOrEqual(capBytes);
  // The others are known by FORK records in the parent's ring.
  const { threads, losses, degraded } = show(summary.snapshot!);
  const kept = threads.filter(({ switchesIn }) => switchesIn! > 0);
  // Nothing is said of what the others did, and they are counted.
  for (const each of threads.filter((thread) => !kept.includes(thread)))
    expect(each).toMatchObject({ onCpuNs: null, sleepingNs: null, switchesIn: null, samples: null });
  expect(losses.evictedRings).toBe(summary.evictedRings);
  expect(degraded.join()).toContain(`evicted, with all they recorded: ${summary.evictedRings}`);
  expect(kept.length).toBeGreaterThan(1);
  expect(kept.length).toBeLessThan(501);
  const [first, ...children] = kept.toSorted((a, b) => Number(BigInt(a.firstNs!) - BigInt(b.firstNs!)));
  expect(first!.pid).not.toBe(children[0]!.pid);
  // The oldest were evicted: those kept follow each other up to the last.
  expect(children.length).toBeGreaterThanOrEqual(kept.length - 1);
  requireAgreement(summary.snapshot!);
});

test('the rings of a crash whose snapshot does not fit its disk are kept, and can be recovered', async (context) => {
  needs(context, 'perf events', 'root', 'mount namespaces');
  const output = new Workplace().file('recovered.perf.data');
  const main = join(import.meta.dirname, '../dist/bin/main.js');
  const { status, stderr, summary } = await record(['-o', '/mnt/crash.perf.data'], ['sh', '-c', 'kill -SEGV $$'], {
    through: [
      ...['unshare', '-m', 'sh', '-c'],
      `mount -t tmpfs -o size=1m tmpfs /dev/shm && mount -t tmpfs -o size=4k tmpfs /mnt && "$@"; status=$?
       node ${main} recover --no-names /dev/shm/ringkeep-*-* -o ${output} >/dev/null; exit $status`,
      'sh',
    ],
  });
  expect(status).toBe(128 + constants.signals.SIGSEGV);
  expect(summary).toMatchObject({ snapshot: null, snapshots: [], death: { signal: 'SIGSEGV' } });
  expect(summary.keptRings).toMatch(/^\/dev\/shm\/ringkeep-/);
  expect(stderr).toContain(`ringkeep recover ${summary.keptRings} -o FILE`);
  expect(show(output).threads.map(({ tid }) => tid)).toContain(summary.death!.tid);
});

test('a limit on the size of files that is below a ring is reported as such', async (context) => {
  needs(context, 'perf events');
  const { status, summary } = await record(['--snapshot', 'never'], ['sh', '-c', 'exit 3'], {
    through: ['bash', '-c', 'ulimit -f 8 && exec "$@"', 'bash'],
  });
  expect(status).toBe(3);
  expect(summary.degraded).toContainEqual(expect.stringMatching(/^no ring can be made: .*ulimit -f/));
});
