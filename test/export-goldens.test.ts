/**
 * Exports of two built captures, compared with files: every change of a format shows as a difference. JSON is indented,
 * and binary formats are written as their readers decode them. After an intended change: `npx vitest run -u
 * test/export-goldens`.
 */
import { join } from 'node:path';
import { Profile } from 'pprof-format';
import { describe, expect, test } from 'vitest';
import { FORMAT_NAMES, type FormatName } from '../src/export/formats.ts';
import { exported } from '../src/export/testing/exported.ts';
import { FIXTURES } from '../src/export/testing/fixtures.ts';
import { readPerfetto } from '../src/export/testing/perfetto-reading.ts';

const CAPTURES = ['two threads', 'stacks at switches'];

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Bigints as decimal text, maps as lists of entries. */
function indented(value: unknown): string {
  const plain = (_: string, each: unknown) =>
    typeof each === 'bigint' ? String(each) : each instanceof Map ? [...each] : each;
  return `${JSON.stringify(value, plain, 1)}\n`;
}

const TEXTS: Readonly<Record<FormatName, (bytes: Uint8Array) => string>> = {
  collapsed: text,
  firefox: (bytes) => indented(JSON.parse(text(bytes))),
  speedscope: (bytes) => indented(JSON.parse(text(bytes))),
  perfetto: (bytes) => indented(readPerfetto(bytes)),
  pprof: (bytes) => indented(Profile.decode(bytes)),
};

describe.for(CAPTURES)('%s', (name) => {
  test.for(FORMAT_NAMES)('exported to %s is as it was', async (format) => {
    const golden = join(import.meta.dirname, 'goldens', `${name.replaceAll(' ', '-')}.${format}.txt`);
    await expect(TEXTS[format](exported(FIXTURES[name]!(), format))).toMatchFileSnapshot(golden);
  });
});
