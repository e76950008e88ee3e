/** Names are those of the recorded program: never of a file or a map that took its place. */
import { spawn } from 'node:child_process';
import { copyFileSync, readlinkSync, rmSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { run } from '../src/snapshot/testing/perf-tool.ts';
import { Daemon } from './testing/daemon.ts';
import { allFrames } from './testing/name-agreement.ts';
import { recordWithNames, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const OFTEN = ['--freq', '1999', '--ring', '1MiB', '--snapshot', 'always'];

function namesIn(snapshot: string, file: string): string[] {
  return allFrames(snapshot).frames.flatMap((frame) =>
    frame.file === file && frame.name !== null ? [frame.name] : [],
  );
}

test.for<[string, string[]]>([
  ['with a build id', []],
  ['without a build id', ['--remove-section=.note.gnu.build-id']],
])('a program %s that is replaced while it runs is not named from the new file', async ([, options], context) => {
  needs(context, 'gcc', 'perf events', 'objcopy');
  const place = new Workplace();
  const [program, rebuilt] = [place.file('program'), place.file('rebuilt')];
  const output = place.file('snapshot.perf.data');
  expect(run('objcopy', ...options, testProgram('named-work'), program).status).toBe(0);
  expect(run('objcopy', ...options, testProgram('never-returns'), rebuilt).status).toBe(0);
  await recordWithNames([...OFTEN, '-o', output], ['sh', '-c', '"$0" 300; mv "$1" "$0"', program, rebuilt]);
  expect(allFrames(output).frames.filter(({ file }) => file === program).length).toBeGreaterThan(100);
  expect(namesIn(output, program)).toEqual([]);
  expect(allFrames(output).problems).toContain(`no names from ${program}: it is not the recorded file`);
});

test('code made at run time is named by a map that is as old as its process, and not by an older one', async (context) => {
  needs(context, 'gcc', 'perf events');
  const named = async (age: string) => {
    const output = new Workplace().file('snapshot.perf.data');
    const map = `map=/tmp/perf-$$.map; echo "200000000 20 made" > $map; touch -d "${age}" $map; echo $map`;
    const command = ['sh', '-c', `${map}; exec "$0" 300`, testProgram('anonymous-code')];
    const { stdout } = await recordWithNames([...OFTEN, '-o', output], command);
    const path = /^\/tmp\/perf-\d+\.map$/m.exec(stdout)![0];
    onTestFinished(() => rmSync(path, { force: true }));
    return allFrames(output);
  };
  const fresh = await named('now');
  expect(fresh.frames.filter(({ name }) => name === 'made').length).toBeGreaterThan(100);
  const stale = await named('1 hour ago');
  expect(stale.frames.filter(({ name }) => name === 'made')).toEqual([]);
  expect(stale.problems.join()).toMatch(/process \d+ belong to another process .*\d+ address(?: has|es have) no name/);
});

test.for(['in a memfd', 'that was removed'])('a program %s has names while it runs', async (kind, context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const daemon = await Daemon.upWithNames(['--freq', '1999', '--ring', '1MiB']);
  const isRemoved = kind === 'that was removed';
  const program = daemon.file('program');
  copyFileSync(testProgram('named-work'), program);
  const [first, ...args] = isRemoved ? [program, '60000'] : [testProgram('runs-from-memfd'), program, '60000'];
  const child = spawn(first!, args, { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await daemon.until(
    async () => readlinkSync(`/proc/${child.pid}/exe`),
    (file) => file === program || file.startsWith('/memfd:'),
  );
  rmSync(program);
  await daemon.json('attach', '-p', String(child.pid));
  await daemon.untilEvents((events) => events.some(({ records }) => records > 500));
  const output = daemon.file('snapshot.perf.data');
  await daemon.json('snapshot', '-o', output);
  const { frames, problems } = allFrames(output);
  expect(
    frames.map(({ name }) => name),
    problems.join(),
  ).toContain('work');
});

test('a program in a mount namespace is not named from the file at its path outside', async (context) => {
  needs(context, 'gcc', 'perf events', 'mount namespaces');
  const place = new Workplace();
  const [program, output] = [place.file('program'), place.file('snapshot.perf.data')];
  copyFileSync(testProgram('never-returns'), program);
  const inside = 'mount -t tmpfs tmpfs "$1" && cp "$2" "$0" && exec "$0" 300';
  const command = ['unshare', '-m', 'sh', '-c', inside, program, place.path, testProgram('named-work')];
  await recordWithNames([...OFTEN, '-o', output], command);
  expect(allFrames(output).frames.filter(({ file }) => file === program).length).toBeGreaterThan(100);
  expect(namesIn(output, program)).toEqual([]);
  expect(allFrames(output).problems).toContain(`no names from ${program}: it is not the recorded file`);
});
