import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { afterEach, expect, test, vi } from 'vitest';
import { SymbolizeQueue, symbolize } from './symbolize-job.ts';

vi.mock('node:child_process', { spy: true });

const REQUEST = { path: '/nowhere', timeMs: 60_000, isInBackground: true };

afterEach(() => void vi.resetAllMocks());

/** The next spawned process runs this script instead. */
function pretend(script: string): void {
  const real = vi.mocked(spawn).getMockImplementation() ?? spawn;
  vi.mocked(spawn).mockImplementationOnce(((program: string, _: string[], options: object) => {
    vi.mocked(spawn).mockReset();
    return (real as (...all: unknown[]) => unknown)(program, ['-e', script], options);
  }) as never);
}

test('the outcome is the output of the process', async () => {
  pretend(`console.log(JSON.stringify({ bytes: 12, isComplete: true }))`);
  expect(await symbolize(REQUEST)).toEqual({ bytes: 12, isComplete: true, failure: null });
});

test.each([
  ['exits with a status', `console.error('the disk is full'); process.exit(1)`, /status 1: the disk is full$/],
  ['is killed', `process.kill(process.pid, 'SIGKILL')`, /was killed by SIGKILL$/],
  ['prints something else', `console.log('hello')`, /status 0: $/],
])('a process that %s is a failure', async (_, script, sentence) => {
  pretend(script);
  expect((await symbolize(REQUEST)).failure).toMatch(sentence);
});

test('a process that takes too long is killed', async () => {
  pretend('setInterval(() => {}, 1000)');
  expect((await symbolize({ ...REQUEST, timeMs: -4_500 })).failure).toMatch(/was killed by SIGKILL$/);
});

test('a process that cannot be started is a failure, not an exception', async () => {
  vi.mocked(spawn).mockImplementationOnce((() => {
    const child = new EventEmitter();
    process.nextTick(() => child.emit('error', Object.assign(new Error('no'), { code: 'EMFILE' })));
    return child;
  }) as never);
  expect((await symbolize(REQUEST)).failure).toMatch(/cannot be started: EMFILE$/);
  vi.mocked(spawn).mockImplementationOnce((() => {
    throw Object.assign(new Error('no'), { code: 'EAGAIN' });
  }) as never);
  expect((await symbolize(REQUEST)).failure).toMatch(/cannot be started: EAGAIN$/);
});

test('one process runs at a time, and requests beyond the queue are refused', async () => {
  const running = new Set<EventEmitter>();
  let most = 0;
  vi.mocked(spawn).mockImplementation((() => {
    const child = new EventEmitter();
    running.add(child);
    most = Math.max(most, running.size);
    setImmediate(() => {
      running.delete(child);
      child.emit('close', 1, null);
    });
    return child;
  }) as never);
  const queue = new SymbolizeQueue();
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => queue.add(REQUEST)));
  expect(most).toBe(1);
  const refused = outcomes.filter(({ failure }) => failure === 'too many snapshots wait to be symbolized');
  expect(refused).toHaveLength(4);
  expect((await queue.add(REQUEST)).failure).toMatch(/status 1/);
});
