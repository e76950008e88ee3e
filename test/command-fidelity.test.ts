/** A command gets under `record` what it would get without it, and its exit status is handed on. */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { RUN_PATIENCE_MS, until } from '../src/base/testing/waiting.ts';
import { listIds, readProcText } from '../src/linux/proc.ts';
import { record, ringkeep, start, Workplace } from './testing/ringkeep.ts';
import { needs, PYTHON } from './testing/surroundings.ts';

const MAIN = join(import.meta.dirname, '../dist/bin/main.js');
const STATE = join(import.meta.dirname, 'testing/own-state.py');
const RECORD = `${process.execPath} ${MAIN} record --snapshot never --`;

function bash(script: string, cwd: string) {
  return spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: RUN_PATIENCE_MS, cwd });
}

/** The state of a command that `setting` starts with `$RUN`, without and with ringkeep. */
function states(setting: string): { without: string[]; recorded: string[]; stderr: string } {
  const place = new Workplace();
  const read = (name: string) => readFileSync(place.file(name), 'utf8').split('\n');
  const command = (name: string) => `${PYTHON} ${STATE} ${place.file(name)}`;
  const plain = bash(setting.replaceAll('$RUN', command('without')), place.path);
  const { stderr } = bash(setting.replaceAll('$RUN', `${RECORD} ${command('recorded')}`), place.path);
  expect(plain.stderr).toBe('');
  return { without: read('without'), recorded: read('recorded'), stderr };
}

test.each([
  ['descriptors of files and of both ends of a pipe', 'exec 3</etc/passwd 5>out 10</dev/null 20<>/etc/hosts; $RUN'],
  ['the ends of a FIFO', 'mkfifo p; exec 7<>p 8>p; $RUN; rm p'],
  [
    'the two ends of an older pipe, as of a jobserver',
    `coproc sleep 5; exec 13<&"\${COPROC[0]}"; $RUN; kill %1 2>/dev/null`,
  ],
  ['the jobserver of make', `printf 'all:\n\t+@%s\n' '$RUN' > Makefile; make -j2 -s 2>/dev/null`],
  ['a pipe as standard output', '$RUN | cat; true'],
  ['variables whose names are no identifiers', `env we.ird=1 'sp ace=x' a-b= $RUN`],
  ['variables that are no UTF-8', `env "bad=$(printf '\\377\\376')" $RUN`],
  ['IFS and a wrong PWD', 'env IFS=: PWD=/nonsense $RUN'],
  ['an empty environment', 'env -i $RUN'],
  ['the soft limit of descriptors', 'ulimit -Sn 777; $RUN; true'],
  ['arguments that are no UTF-8, and empty ones', `$RUN "$(printf 'a\\377b')" '' 'x y'`],
  ['SIGHUP ignored by nohup', 'nohup $RUN 2>/dev/null'],
  ['SIGHUP ignored by a shell', "trap '' HUP; $RUN; true"],
])('a command inherits %s', (_, setting) => {
  const { without, recorded, stderr } = states(setting);
  expect(recorded, stderr).toEqual(without);
});

test('a command whose path is no UTF-8 is run', () => {
  const place = new Workplace();
  const script = `p="$(printf 'odd\\377')"; cp /bin/sh "$p"; ${RECORD} "./$p" -c 'exit 6'`;
  expect(bash(script, place.path).status).toBe(6);
});

test('a script without an interpreter line is run by a shell', () => {
  const place = new Workplace();
  writeFileSync(place.file('plain'), 'exit $1\n', { mode: 0o755 });
  expect(bash(`${RECORD} ./plain 9`, place.path).status).toBe(9);
});

test('a program that cannot be executed ends as in a shell, and that is reported', async () => {
  const place = new Workplace();
  writeFileSync(place.file('missing'), '#!/no/such/interpreter\n', { mode: 0o755 });
  const { status, summary } = await record([], [place.file('missing')]);
  expect(status).toBe(127);
  expect(summary.degraded.join()).toContain('cannot be executed: ENOENT');
});

test('the command is recorded from its exec on', async () => {
  const { summary } = await record(['--snapshot', 'never'], ['sh', '-c', 'sleep 0.05']);
  expect(summary.degraded.join()).not.toMatch(/shell|first moments/);
  expect(summary.tasks).toBeGreaterThan(0);
});

test('a command at the gate runs when the recorder is killed', async () => {
  // Many runs: the recorder is killed at any of the moments around the start.
  const place = new Workplace();
  for (let run = 0; run < 8; run++) {
    const mark = place.file(`ran-${run}`);
    const running = start(['record', '--snapshot', 'never', '--', 'sh', '-c', `echo > ${mark}`]);
    const children = () =>
      listIds(`/proc/${running.pid}/task`)
        .map((tid) => readProcText(`/proc/${running.pid}/task/${tid}/children`) ?? '')
        .join('');
    // A command this short may have run and ended between two looks.
    await until('the command exists', () => children() !== '' || existsSync(mark), { everyMs: 1 });
    running.kill('SIGKILL');
    await running.exited;
    await until('the command has run', () => existsSync(mark));
  }
});

test.each([34, 40, 64])('a death by real-time signal %i is status 128 + n', async (signal) => {
  const { status, summary } = await record(['--snapshot', 'never'], ['bash', '-c', `kill -${signal} $$`]);
  expect(status).toBe(128 + signal);
  expect(summary.exit).toEqual({ code: null, signal: `SIG${signal}` });
});

test('a command is run from a working directory that is removed', () => {
  const place = new Workplace();
  const script = `mkdir gone; cd gone; rmdir ../gone; ${RECORD} sh -c 'exit 5'`;
  expect(bash(script, place.path).status).toBe(5);
  const always = script.replace('--snapshot never', '--snapshot always --no-names -o x.perf.data');
  const { status, stderr } = bash(always, place.path);
  expect(status).toBe(5);
  const saved = /^ringkeep: saved: (\S+)/m.exec(stderr)?.[1];
  expect(saved, stderr).toMatch(/^\/tmp\/ringkeep-/);
  rmSync(saved!);
});

test('a command runs when its snapshot cannot be written where it is wanted', async () => {
  const place = new Workplace();
  const output = place.file('missing/x.perf.data');
  const options = ['--snapshot', 'always', '-o', output];
  const { status, summary, stderr } = await record(options, ['sh', '-c', 'exit 4'], { cwd: place.path });
  expect(status).toBe(4);
  expect(stderr).toContain('cannot be written');
  expect(summary.degraded.join()).toContain('cannot be written');
  expect(summary.snapshot).toMatch(/ringkeep-\d+\.perf\.data$/);
});

test('a command is recorded unpinned when the pin budget is too small', async () => {
  const { status, summary } = await record(['--pin-budget', '4KiB'], ['sh', '-c', 'exit 4']);
  expect(status).toBe(4);
  expect(summary.records).toBeGreaterThan(0);
  expect(summary.pinnedBytes).toEqual({ now: 0, peak: 0, bound: 0 });
  expect(summary.degraded.join()).toContain('too small');
});

test('links and files under default names are left as they are', async () => {
  const place = new Workplace();
  const target = place.file('target');
  writeFileSync(target, 'precious');
  // The pid is not known before: the command plants the link.
  const plant = `ln -s ${target} ringkeep-$PPID.perf.data; ln -s nowhere ringkeep-$PPID-2.perf.data`;
  const { summary } = await record(['--snapshot', 'always'], ['sh', '-c', plant], { cwd: place.path });
  expect(readFileSync(target, 'utf8')).toBe('precious');
  expect(summary.snapshot).toMatch(/-3\.perf\.data$/);
  expect(lstatSync(summary.snapshot!).isFile()).toBe(true);
  expect(readlinkSync(summary.snapshot!.replace('-3.', '-2.'))).toBe('nowhere');
});

test('tasks that the command leaves running are counted and named', async () => {
  const place = new Workplace();
  const leave = `setsid sleep 777 </dev/null >/dev/null 2>&1 & echo $! > ${place.file('pid')}`;
  const running = start(['record', '--json', '--snapshot', 'never', '--', 'sh', '-c', `${leave}; sleep 0.2`]);
  onTestFinished(() => {
    process.kill(Number(readFileSync(place.file('pid'), 'utf8')), 'SIGKILL');
  });
  const { stderr } = await running.ended;
  expect(stderr).toContain('1 task of the command runs on unrecorded, since the command has exited: sleep');
});

test.each(['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s to ringkeep alone reaches the command',
  async (signal) => {
    const running = start([
      'record',
      '--',
      'sh',
      '-c',
      `trap 'exit 21' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`,
    ]);
    await running.untilSaid('ready');
    running.kill(signal);
    expect((await running.ended).status).toBe(21);
  },
);

test('a signal before the command has started is not lost', async () => {
  for (let run = 0; run < 8; run++) {
    const running = start(['record', '--snapshot', 'never', '--', 'sleep', '50']);
    await until('the handlers', () => catches(running.pid, LAST_HANDLED), { everyMs: 1 });
    running.kill('SIGINT');
    expect((await running.ended).status).toBe(128 + 2);
  }
});

/** SIGQUIT: the last one that gets a handler, and none of Node's own. */
const LAST_HANDLED = 3;

/** Whether the process has a handler of the signal. */
function catches(pid: number, signal: number): boolean {
  const mask = /^SigCgt:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return ((BigInt(`0x${mask ?? 0}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

test('signals after the end of the command do not keep the summary from being printed', async () => {
  const place = new Workplace();
  const options = ['--json', '--snapshot', 'always', '--wait-for-names', '-o', place.file('x.perf.data')];
  const running = start(['record', ...options, '--', 'node', '-e', 'setTimeout(() => console.log("done"), 100)']);
  await running.until('the snapshot', () => existsSync(place.file('x.perf.data')));
  running.kill('SIGTERM');
  running.kill('SIGTERM');
  const { status, stdout } = await running.ended;
  expect(status).toBe(0);
  expect(JSON.parse(stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({ snapshot: place.file('x.perf.data') });
});

test('names are added behind a command that has ended', async (context) => {
  needs(context, 'perf events');
  const place = new Workplace();
  const path = place.file('x.perf.data');
  const spin = 'const end = Date.now() + 200; while (Date.now() < end);';
  const args = ['record', '--json', '--snapshot', 'always', '-o', path, '--', process.execPath, '-e', spin];
  const { status, stdout } = await ringkeep(args);
  expect(status).toBe(0);
  expect(JSON.parse(stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({ namesPending: true, snapshot: path });
  const { readSymbols } = await import('./testing/snapshot-symbols.ts');
  await until('the names', () => readSymbols(path) !== undefined, { everyMs: 50 });
});
