/**
 * Fuzz targets: each command that reads a capture, over mutated captures of other tools. It ends with status 0 or 1,
 * within its time and memory, and reports no bug. The seed of a failure is in its title. Usual runs have one a command.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Prng } from '../src/base/prng.ts';
import { isLong } from '../src/base/testing/runs.ts';
import { Workplace } from './testing/ringkeep.ts';

const CORPUS = join(import.meta.dirname, '../../shared/captures');
const MAIN = join(import.meta.dirname, '../dist/bin/main.js');
const SEEDS = isLong ? 40 : 1;
const TIME_LIMIT_MS = 60_000;
/** A capture of the corpus has 200 KB at most, and Node takes 60 MB. */
const MEMORY_LIMIT_KIB = 1024 * 1024;
const PRINTS_PEAK = `data:text/javascript,${encodeURIComponent(
  'import { writeSync } from "node:fs"; process.on("exit", () => writeSync(3, String(process.resourceUsage().maxRSS)));',
)}`;

const READERS: readonly (readonly string[])[] = [
  ['show', '--json', '--tree'],
  ['show', '--all'],
  ['plan'],
  ...['perfetto', 'pprof', 'speedscope', 'firefox', 'collapsed'].map((format) => ['export', '--to', format]),
];

const captures = existsSync(CORPUS)
  ? readdirSync(CORPUS)
      .filter((name) => name.includes('data'))
      .sort()
  : [];

/** A few words replaced by ones that break sizes, offsets and times; some bytes left out, or twice there. */
function mutated(bytes: Uint8Array, seed: number): Uint8Array {
  const random = new Prng(seed);
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  const words = [0n, 1n, 8n, 0xffffn, 0xffff_ffffn, 2n ** 40n, 2n ** 63n, 2n ** 64n - 1n];
  for (let count = 1 + random.below(12); count > 0; count--) {
    // Half of them in the header and the attrs.
    const span = random.below(2) === 0 ? Math.min(1024, copy.length) : copy.length;
    view.setBigUint64(random.below(span - 8), words[random.below(words.length)]!, true);
  }
  const from = random.below(copy.length);
  const to = Math.min(copy.length, from + random.below(4096));
  if (random.below(4) === 0) return new Uint8Array(Buffer.concat([copy.subarray(0, from), copy.subarray(to)]));
  if (random.below(4) === 0) return new Uint8Array(Buffer.concat([copy.subarray(0, to), copy.subarray(from)]));
  return copy;
}

describe.skipIf(captures.length === 0)('mutated captures (skipped where ../shared/captures is absent)', () => {
  test.each(READERS.map((reader) => [reader.join(' '), reader] as const))('%s ends within its limits', (_, reader) => {
    const place = new Workplace();
    for (let seed = 0; seed < SEEDS; seed++) {
      const capture = captures[seed % captures.length]!;
      const file = place.file('mutated.perf.data');
      writeFileSync(file, mutated(readFileSync(join(CORPUS, capture)), seed));
      const output = reader[0] === 'export' ? ['-o', place.file('exported')] : [];
      const {
        status,
        signal,
        stderr,
        output: streams,
      } = spawnSync('node', ['--import', PRINTS_PEAK, MAIN, ...reader, file, ...output], {
        encoding: 'utf8',
        timeout: TIME_LIMIT_MS,
        maxBuffer: 2 ** 30,
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      });
      const run = { capture, seed, signal, stderr };
      expect({ ...run, isEnded: status === 0 || status === 1 }).toEqual({ ...run, signal: null, isEnded: true });
      expect({ ...run, isBug: /because of a bug|^\s+at /m.test(stderr) }).toEqual({ ...run, isBug: false });
      expect({ ...run, peak: Number(streams[3]) }).toEqual({
        ...run,
        peak: expect.toSatisfy((kib: number) => kib < MEMORY_LIMIT_KIB),
      });
    }
  });
});
