import { expect, test } from 'vitest';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { exportedText } from './testing/exported.ts';
import { MAIN, twoThreads, userStack } from './testing/fixtures.ts';

test('one line a thread name and stack, with the number of samples', () => {
  const builder = new CaptureBuilder([CPU_CLOCK])
    .comm(MAIN, 0n, 'main')
    .mmap(MAIN, 0n, 0x1000n, 0x1000n, 0n, '/bin/a')
    .sample(MAIN, 1n, userStack(0x1002n, 0x1001n))
    .sample(MAIN, 2n, userStack(0x1002n, 0x1001n))
    .sample(MAIN, 3n);
  expect(exportedText(builder, 'collapsed')).toBe('main;a+0x1;a+0x2 2\nmain 1\n');
});

test('several events are named in the frame after the thread’s', () => {
  const lines = exportedText(twoThreads(), 'collapsed').trimEnd().split('\n');
  expect(lines).toEqual([
    'main;[cpu-clock];libwork.so+0x1010;libwork.so+0x1020;libwork.so+0x1030 2',
    'main;[cpu-clock];libwork.so+0x1010;libwork.so+0x1020;libwork.so+0x1040 1',
    'worker;[cpu-clock];libwork.so+0x1050 1',
    'worker;[signal:signal_deliver] 1',
  ]);
});

test('no name breaks a line or a stack', () => {
  const builder = new CaptureBuilder().comm(MAIN, 0n, 'a;b\nc').sample(MAIN, 1n, userStack(0x1n));
  const names = { nameOf: () => 'operator();\n2 3' };
  expect(exportedText(builder, 'collapsed', names)).toBe('a:b?c;operator():?2 3 1\n');
});
