import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openRegular } from './regular-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringkeep-regular-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const isOpened = (path: string): boolean => {
  const opened = openRegular(path, () => true);
  if (opened !== undefined) closeSync(opened.descriptor);
  return opened !== undefined;
};

test('a regular file is opened; a directory, a device, a FIFO and a file of the kernel are not, by link or not', () => {
  writeFileSync(join(folder, 'file'), 'x');
  spawnSync('mkfifo', [join(folder, 'fifo')]);
  symlinkSync('/proc/self/maps', join(folder, 'link'));
  symlinkSync(join(folder, 'file'), join(folder, 'good'));
  expect(['file', 'good'].map((name) => isOpened(join(folder, name)))).toEqual([true, true]);
  const others = [folder, '/dev/zero', join(folder, 'fifo'), join(folder, 'link'), '/proc/version'];
  expect(others.map(isOpened)).toEqual(others.map(() => false));
});

test('a file that is not wanted is not opened', () => {
  writeFileSync(join(folder, 'file'), 'x');
  expect(openRegular(join(folder, 'file'), ({ size }) => size > 1)).toBeUndefined();
});
