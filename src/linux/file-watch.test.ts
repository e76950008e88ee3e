import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { RemovalWatch } from './file-watch.ts';
import { readProcText } from './proc.ts';

function watched(...names: string[]) {
  const root = mkdtempSync(join(tmpdir(), 'ringkeep-watch-'));
  const watch = new RemovalWatch();
  onTestFinished(() => {
    watch.close();
    rmSync(root, { recursive: true, force: true });
  });
  const directories = names.map((name) => join(root, name));
  for (const directory of directories) {
    mkdirSync(directory);
    expect(watch.add(directory)).toBe(0);
  }
  return { root, watch, directories };
}

it('files removed or moved away are reported for every directory, in order and once', () => {
  const { root, watch, directories } = watched('a', 'b');
  const [a, b] = directories as [string, string];
  const long = 'x'.repeat(255);
  for (const path of [join(a, '1'), join(a, '2'), join(b, long), join(b, 'é')]) writeFileSync(path, '');
  expect(watch.read()).toEqual({ paths: [], isIncomplete: false });
  unlinkSync(join(a, '1'));
  renameSync(join(a, '2'), join(root, '2'));
  for (const name of readdirSync(b)) unlinkSync(join(b, name));
  const { paths, isIncomplete } = watch.read();
  expect(paths.slice(0, 2)).toEqual([join(a, '1'), join(a, '2')]);
  expect(paths.slice(2).sort()).toEqual([join(b, long), join(b, 'é')].sort());
  expect(isIncomplete).toBe(false);
  expect(watch.read().paths).toEqual([]);
});

it('all files of a removed directory are reported, and a new directory in its place is watched', () => {
  const { watch, directories } = watched('a');
  const [a] = directories as [string];
  for (let i = 0; i < 3000; i++) writeFileSync(join(a, `${i}`), '');
  rmSync(a, { recursive: true });
  mkdirSync(a);
  expect(watch.add(a)).toBe(0);
  writeFileSync(join(a, 'new'), '');
  expect(new Set(watch.read().paths).size).toBe(3000);
  unlinkSync(join(a, 'new'));
  expect(watch.read().paths).toEqual([join(a, 'new')]);
});

it('an overflow of the kernel’s queue is reported', () => {
  const { watch, directories } = watched('a');
  const [a] = directories as [string];
  const most = Number(readProcText('/proc/sys/fs/inotify/max_queued_events'));
  // One behind the other the kernel takes for the same.
  const names = [join(a, '1'), join(a, '2')] as const;
  writeFileSync(names[0], '');
  for (let i = 0; i <= most; i++) renameSync(names[i % 2]!, names[(i + 1) % 2]!);
  expect(watch.read().isIncomplete).toBe(true);
  expect(watch.read()).toEqual({ paths: [], isIncomplete: false });
});

it('a missing directory is refused by −errno, not by an exception', () => {
  const { root, watch } = watched();
  expect(watch.add(join(root, 'none'))).toBeLessThan(0);
});
