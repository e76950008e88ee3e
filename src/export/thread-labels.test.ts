import { expect, test } from 'vitest';
import type { CommChange, ThreadEntry } from '../perf-data/task-table.ts';
import { threadTitle } from './thread-labels.ts';

function titleOf(...comms: [comm: string, exec?: boolean][]): string {
  const changes = comms.map(([comm, exec = false], at): CommChange => ({ timeNs: BigInt(at), comm, exec }));
  return threadTitle({ tid: 7, comms: changes } as unknown as ThreadEntry);
}

test('the title of a thread lists its name in each program that it ran, the last ones of many', () => {
  expect(titleOf(['sh'], ['node', true])).toBe('sh → node');
  expect(titleOf(['sh'], ['env', true], ['node', true], ['MainThread'])).toBe('sh → env → MainThread');
  expect(titleOf(...'abcdef'.split('').map((comm): [string, boolean] => [comm, true]))).toBe('… → c → d → e → f');
});

test('the title of a thread that ran one program is its name', () => {
  expect(titleOf(['main'], ['pool'])).toBe('pool');
  expect(titleOf(['perf-exec'], ['node', true])).toBe('node');
  expect(titleOf(['sh'], ['sh', true])).toBe('sh');
  expect(titleOf()).toBe(':7');
});
