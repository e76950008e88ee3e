/**
 * The worker thread that writes a snapshot, as built: one is started for each snapshot, so it must leave nothing
 * mapped.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const BUILT = join(import.meta.dirname, '../dist/bin');

/** What a built file imports, statically or not, and what those import. */
function importsOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  if (!file.startsWith('./')) return seen;
  const text = readFileSync(join(BUILT, file), 'utf8');
  for (const [, name] of text.matchAll(/\b(?:from|import)\s*\(?\s*["'`]([^"'`]+)["'`]/g)) importsOf(name!, seen);
  return seen;
}

test('the worker that writes snapshots loads no native code, whose mappings would stay after each worker', () => {
  expect([...importsOf('./main.js')]).toContain('koffi');
  expect([...importsOf('./snapshot-worker.js')].filter((name) => !name.startsWith('node:'))).not.toContain('koffi');
});
