import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { afterEach, expect, test, vi } from 'vitest';
import { addNamesElsewhere, NamesQueue } from './symbolize-job.ts';

vi.mock('node:child_process', { spy: true });

const WISH = { timeMs: 60_000, isInBackground: true };

afterEach(() => void vi.resetAllMocks());

/** The next process that is started is this script instead. */
function pretend(script: string): void {
  const real = vi.mocked(spawn).getMockImplementation() ?? spawn;
  vi.mocked(spawn).mockImplementationOnce(((program: string, _: string[], options: object) => {
    vi.mocked(spawn).mockReset();
    return (real as (...all: unknown[]) => unknown)(program, ['-e', script], options);
  }) as never);
}

test('what came of it is what the process says', async () => {
  pretend(`console.log(JSON.stringify({ bytes: 12, isComplete: true }))`);
  expect(await addNamesElsewhere('/nowhere', WISH)).toEqual({ bytes: 12, isComplete: true, failure: null });
});

test.each([
  ['ends with a status', `console.error('the disk is full'); process.exit(1)`, /status 1: the disk is full$/],
  ['is killed', `process.kill(process.pid, 'SIGKILL')`, /was ended by SIGKILL$/],
  ['says something else', `console.log('hello')`, /status 0: $/],
])('a process that %s is told of in a sentence', async (_, script, sentence) => {
  pretend(script);
  expect((await addNamesElsewhere('/nowhere', WISH)).failure).toMatch(sentence);
});

test('a process that takes too long is ended', async () => {
  pretend('setInterval(() => {}, 1000)');
  expect((await addNamesElsewhere('/nowhere', { ...WISH, timeMs: -4_500 })).failure).toMatch(/was ended by SIGKILL$/);
});

test('a process that cannot be started, for want of descriptors or otherwise, is no exception', async () => {
  vi.mocked(spawn).mockImplementationOnce((() => {
    const child = new EventEmitter();
    process.nextTick(() => child.emit('error', Object.assign(new Error('no'), { code: 'EMFILE' })));
    return child;
  }) as never);
  expect((await addNamesElsewhere('/nowhere', WISH)).failure).toMatch(/could be started: EMFILE$/);
  vi.mocked(spawn).mockImplementationOnce((() => {
    throw Object.assign(new Error('no'), { code: 'EAGAIN' });
  }) as never);
  expect((await addNamesElsewhere('/nowhere', WISH)).failure).toMatch(/could be started: EAGAIN$/);
});

test('one process after the other looks for names, and those that would wait too long get none', async () => {
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
  const queue = new NamesQueue();
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => queue.add('/nowhere', WISH)));
  expect(most).toBe(1);
  const refused = outcomes.filter(({ failure }) => failure === 'too many snapshots wait for their names');
  expect(refused).toHaveLength(4);
  expect((await queue.add('/nowhere', WISH)).failure).toMatch(/status 1/);
});
