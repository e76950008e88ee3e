import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { recordName } from '../abi/record-table.ts';
import { openCapture } from './capture.ts';

/** Captures that other tools made; its README.md has a table of what an independent reader finds in each. */
const CORPUS = new URL('../../../shared/captures/', import.meta.url);
const isHere = existsSync(CORPUS);

/** The files of the table, with the records that each holds by type. */
function corpus(): { file: string; records: Record<string, number> }[] {
  if (!isHere) return [];
  const rows = readFileSync(new URL('README.md', CORPUS), 'utf8').matchAll(/^\| (\S+) \|.*\| ([^|]*) \|$/gm);
  return [...rows].flatMap(([, file, found]) => {
    const samples = /^(\d+) samples/.exec(found!)?.[1];
    const counts = [...found!.matchAll(/(\w+)=(\d+)/g)].map(([, name, count]) => [name!, Number(count)] as const);
    const records = samples === undefined ? Object.fromEntries(counts) : { SAMPLE: Number(samples) };
    return existsSync(new URL(file!, CORPUS)) ? [{ file: file!, records }] : [];
  });
}

describe.skipIf(!isHere)('captures of other tools (skipped where they are absent)', () => {
  test.each(corpus())('$file has the records that other readers find', ({ file, records }) => {
    const capture = openCapture(new Uint8Array(readFileSync(new URL(file, CORPUS))));
    const found: Record<string, number> = {};
    for (let index = 0; index < capture.recordCount; index++) {
      const name = recordName(capture.typeAt(index));
      if (name in records) found[name] = (found[name] ?? 0) + 1;
    }
    expect(found).toEqual(records);
  });
});
