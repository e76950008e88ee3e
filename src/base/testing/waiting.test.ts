/** Deadlines of the tests' own waits. */
import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { exitOf, next, until, within } from './waiting.ts';

test('a wait that fails names what it waited for', async () => {
  await expect(within('an answer', new Promise(() => {}), 10)).rejects.toThrow('waited 0.01 s in vain for an answer');
  await expect(until('a file', () => undefined, { everyMs: 1, patienceMs: 10 })).rejects.toThrow('for a file');
  await expect(next(new EventEmitter(), 'data', 'data', 10)).rejects.toThrow('in vain for data');
  const child = spawn('sleep', ['60']);
  await expect(exitOf(child, 'sleep', 10)).rejects.toThrow(`for sleep (pid ${child.pid}) to exit`);
  child.kill('SIGKILL');
  expect(await exitOf(child)).toBe('SIGKILL');
});

test('a wait ends with what was found', async () => {
  const looks = [undefined, 0, 'found'];
  expect(await until('a look', () => looks.shift())).toBe('found');
  expect(await within('an answer', Promise.resolve(7))).toBe(7);
  await expect(within('an answer', Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  const child = spawn('sh', ['-c', 'exit 3']);
  expect(await exitOf(child)).toBe(3);
  // Also when it has ended before.
  expect(await exitOf(child)).toBe(3);
});
