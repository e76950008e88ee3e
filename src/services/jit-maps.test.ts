import { chownSync, existsSync, lstatSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { JitMaps } from './jit-maps.ts';

/** Above the highest pid of Linux: no process has it. */
const GONE = 2 ** 22 + 4711;
const mapOf = (pid: number) => `/tmp/perf-${pid}.map`;

afterEach(() => {
  for (const pid of [GONE, process.pid]) rmSync(mapOf(pid), { force: true });
});

test('the map of an exited process is removed', () => {
  const maps = new JitMaps();
  writeFileSync(mapOf(GONE), '1000 10 f\n');
  maps.add(GONE);
  maps.clear();
  expect(existsSync(mapOf(GONE))).toBe(false);
});

test('maps of unrecorded processes and of living ones stay', () => {
  const maps = new JitMaps();
  for (const pid of [GONE, process.pid]) writeFileSync(mapOf(pid), '1000 10 f\n');
  maps.add(process.pid);
  maps.clear();
  expect([GONE, process.pid].map((pid) => existsSync(mapOf(pid)))).toEqual([true, true]);
});

test('an older file, and a path that is no file, stay', async () => {
  writeFileSync(mapOf(GONE), 'of an earlier process\n');
  utimesSync(mapOf(GONE), 1, 1);
  await new Promise((done) => setTimeout(done, 50));
  const maps = new JitMaps();
  maps.add(GONE);
  maps.clear();
  expect(existsSync(mapOf(GONE))).toBe(true);
  rmSync(mapOf(GONE));
  symlinkSync('/etc/hostname', mapOf(GONE));
  maps.clear();
  expect(lstatSync(mapOf(GONE)).isSymbolicLink()).toBe(true);
});

test.skipIf(process.getuid?.() !== 0)('another user’s file stays (skipped unless root)', () => {
  const maps = new JitMaps();
  writeFileSync(mapOf(GONE), '1000 10 f\n');
  chownSync(mapOf(GONE), 65534, 65534);
  maps.add(GONE);
  maps.clear();
  expect(existsSync(mapOf(GONE))).toBe(true);
});

test('processes with a map are remembered among very many', () => {
  const maps = new JitMaps();
  writeFileSync(mapOf(GONE), '1000 10 f\n');
  for (let pid = GONE; pid < GONE + 20_000; pid++) maps.add(pid);
  maps.clear();
  expect(existsSync(mapOf(GONE))).toBe(false);
});
