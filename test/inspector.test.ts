/** SIGUSR1 opens Node's inspector in no process of ringkeep. */
import { expect, test } from 'vitest';
import { Daemon } from './testing/daemon.ts';
import { listeningPorts } from './testing/listening-ports.ts';
import { ownChildren } from './testing/own-children.ts';
import { start, Workplace } from './testing/ringkeep.ts';

/** Long enough for the inspector's thread to listen. */
const INSPECTOR_MS = 300;

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Signals the process a few times; the ports on which it listens then. */
async function portsAfterSigusr1(pid: number): Promise<number[]> {
  for (let time = 0; time < 3; time++) {
    process.kill(pid, 'SIGUSR1');
    await pause(INSPECTOR_MS / 3);
  }
  return listeningPorts(pid);
}

test('record opens no port on SIGUSR1', async () => {
  const running = start(['record', '--snapshot', 'never', '--', 'sh', '-c', 'echo started; read line']);
  await running.untilSaid('started');
  expect(await portsAfterSigusr1(running.pid)).toEqual([]);
  running.input.end('\n');
  expect((await running.ended).status).toBe(0);
});

test('the detached recorder opens no port on SIGUSR1', async () => {
  const daemon = await Daemon.up();
  expect(await portsAfterSigusr1(daemon.pid)).toEqual([]);
  expect((await daemon.json<{ pid: number }>('status')).pid).toBe(daemon.pid);
});

test('the process that symbolizes a snapshot opens no port on SIGUSR1, from its start to its end', async () => {
  const place = new Workplace();
  const running = start([
    'record',
    '--snapshot',
    'always',
    '--wait-for-names',
    '-o',
    place.file('names.perf.data'),
    '--',
    'node',
    '-e',
    '1',
  ]);
  const seen = new Set<number>();
  const ports: number[] = [];
  let isOver = false;
  void running.ended.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    for (const pid of ownChildren(running.pid)) {
      seen.add(pid);
      try {
        process.kill(pid, 'SIGUSR1');
      } catch {
        // It has exited.
      }
      ports.push(...listeningPorts(pid));
    }
    await pause(5);
  }
  const { status, stderr } = await running.ended;
  expect(ports).toEqual([]);
  expect(seen.size).toBeGreaterThan(0);
  // A signal before Node's own set-up would have killed it.
  expect(status, stderr).toBe(0);
});
