import { chownSync, existsSync, lstatSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { JitLeftovers } from './jit-leftovers.ts';

/** Above the highest pid of Linux: no process has it. */
const GONE = 2 ** 22 + 4711;
const mapOf = (pid: number) => `/tmp/perf-${pid}.map`;

afterEach(() => {
  for (const pid of [GONE, process.pid]) rmSync(mapOf(pid), { force: true });
});

test('the map of a process that has ended is removed', () => {
  const leftovers = new JitLeftovers();
  writeFileSync(mapOf(GONE), '1000 10 f\n');
  leftovers.add(GONE);
  leftovers.clear();
  expect(existsSync(mapOf(GONE))).toBe(false);
});

test('a map of nobody that was recorded, and that of a process that lives, stay', () => {
  const leftovers = new JitLeftovers();
  for (const pid of [GONE, process.pid]) writeFileSync(mapOf(pid), '1000 10 f\n');
  leftovers.add(process.pid);
  leftovers.clear();
  expect([GONE, process.pid].map((pid) => existsSync(mapOf(pid)))).toEqual([true, true]);
});

test('a file that was there before, and what is no file, stay', async () => {
  writeFileSync(mapOf(GONE), 'of an earlier process\n');
  utimesSync(mapOf(GONE), 1, 1);
  await new Promise((done) => setTimeout(done, 50));
  const leftovers = new JitLeftovers();
  leftovers.add(GONE);
  leftovers.clear();
  expect(existsSync(mapOf(GONE))).toBe(true);
  rmSync(mapOf(GONE));
  symlinkSync('/etc/hostname', mapOf(GONE));
  leftovers.clear();
  expect(lstatSync(mapOf(GONE)).isSymbolicLink()).toBe(true);
});

test.skipIf(process.getuid?.() !== 0)('another user’s file stays (skipped unless root)', () => {
  const leftovers = new JitLeftovers();
  writeFileSync(mapOf(GONE), '1000 10 f\n');
  chownSync(mapOf(GONE), 65534, 65534);
  leftovers.add(GONE);
  leftovers.clear();
  expect(existsSync(mapOf(GONE))).toBe(true);
});

test('of very many processes those with a map are remembered', () => {
  const leftovers = new JitLeftovers();
  writeFileSync(mapOf(GONE), '1000 10 f\n');
  for (let pid = GONE; pid < GONE + 20_000; pid++) leftovers.add(pid);
  leftovers.clear();
  expect(existsSync(mapOf(GONE))).toBe(false);
});
