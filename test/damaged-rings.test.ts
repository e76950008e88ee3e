/**
 * Rings and side-band logs damaged or cut anywhere: ringkeep and perf read what is recovered of them without a warning.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { runs } from '../src/base/testing/runs.ts';
import { openCapture } from '../src/perf-data/capture.ts';
import { postMortem } from '../src/post-mortem/post-mortem.ts';
import { snapshotsOfRings } from '../src/snapshot/recovered-snapshot.ts';
import { writeSnapshot } from '../src/snapshot/snapshot.ts';
import { isInstalled, run } from '../src/snapshot/testing/perf-tool.ts';
import { foundIn, MOMENT, RECORDER_FILES } from '../src/snapshot/testing/ring-files.ts';

const hasPerf = isInstalled('perf');
const folder = mkdtempSync(join(tmpdir(), 'ringkeep-damaged-'));
const output = join(folder, 'out.perf.data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('damage in the directory of a recorder', () => {
  const names = Object.keys(RECORDER_FILES) as (keyof typeof RECORDER_FILES)[];
  const lengths = names.map((name) => RECORDER_FILES[name]!.length);
  const flip = fc.nat(names.length - 1).chain((file) =>
    fc.record({
      file: fc.constant(file),
      at: fc.oneof(
        fc.nat(lengths[file]! - 1),
        fc.integer({ min: Math.min(1024, lengths[file]! - 1), max: Math.min(1600, lengths[file]! - 1) }),
      ),
      value: fc.nat(255),
    }),
  );
  const cut = fc
    .nat(names.length - 1)
    .chain((file) => fc.record({ file: fc.constant(file), to: fc.nat(lengths[file]!) }));

  test('anywhere never makes a snapshot unreadable, and costs no other ring a record', (context) => {
    const fates = fc.record({ flips: fc.array(flip, { maxLength: 30 }), cuts: fc.array(cut, { maxLength: 1 }) });
    fc.assert(
      fc.property(fates, ({ flips, cuts }) => {
        const files = Object.fromEntries(names.map((name) => [name, RECORDER_FILES[name]!.slice()]));
        for (const { file, at, value } of flips) files[names[file]!]![at] = value;
        for (const { file, to } of cuts) files[names[file]!] = files[names[file]!]!.slice(0, to);
        const rings = foundIn(files);
        const { inputs } = snapshotsOfRings(rings, MOMENT);
        const kept = new Map<number, number>();
        for (const input of inputs) {
          for (const { tid, records } of writeSnapshot(output, input).rings)
            kept.set(tid, Math.max(records, kept.get(tid) ?? 0));
          const capture = openCapture(readFileSync(output));
          expect(capture.damage).toEqual([]);
          expect(postMortem(capture).reason).toBe('recover');
          if (!hasPerf) continue;
          const { status, stderr } = run('perf', 'script', '--no-inline', '-i', output, '--show-task-events');
          // A damaged count of lost records cannot be detected; perf warns of any.
          expect([status, withoutLossWarning(stderr)]).toEqual([0, '']);
        }
        const damaged = new Set([...flips, ...cuts].map(({ file }) => file));
        if (!damaged.has(1)) expect(kept.get(100)).toBe(31);
        if (!damaged.has(3)) expect(kept.get(200)).toBe(20);
      }),
      runs(10, 150),
    );
    if (!hasPerf) context.skip('perf is not installed: only ringkeep has read the snapshots');
  });
});

function withoutLossWarning(stderr: string): string {
  return stderr.replace(/^Warning:\nProcessed \d+ events and lost \d+ chunks!\n\nCheck IO\/CPU overload!\n\n/gm, '');
}
