/** A damaged capture that still opens is exported to every format. */

import fc from 'fast-check';
import { Profile } from 'pprof-format';
import { expect, test } from 'vitest';
import { SampleType } from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';
import { runs } from '../base/testing/runs.ts';
import { type Capture, openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { FORMAT_NAMES, type FormatName } from './formats.ts';
import { exported } from './testing/exported.ts';
import { FIXTURES, MAIN, userStack } from './testing/fixtures.ts';
import { readPerfetto } from './testing/perfetto-reading.ts';

const files = Object.values(FIXTURES).map((build) => build().build());

/** With some bytes overwritten and the end cut off. */
function damaged(file: Uint8Array, changes: readonly (readonly [number, number])[], cut: number): Uint8Array {
  const bytes = file.slice(0, file.length - Math.floor(cut * 100));
  for (const [at, value] of changes) bytes[Math.floor(at * bytes.length)] = value;
  return bytes;
}

function open(bytes: Uint8Array): Capture | undefined {
  try {
    return openCapture(bytes);
  } catch (error) {
    if (error instanceof RingkeepError) return undefined;
    throw error;
  }
}

const READS: Readonly<Record<FormatName, (bytes: Uint8Array) => void>> = {
  perfetto: readPerfetto,
  collapsed: () => {},
  pprof: (bytes) => Profile.decode(bytes),
  speedscope: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
  firefox: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
};

test.for(FORMAT_NAMES)('%s', (format) => {
  const fraction = fc.double({ min: 0, max: 0.999, noNaN: true });
  const changes = fc.array(fc.tuple(fraction, fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
  let opened = 0;
  fc.assert(
    fc.property(fc.constantFrom(...files), changes, fraction, (file, where, cut) => {
      const capture = open(damaged(file, where, cut));
      if (capture === undefined) return;
      opened++;
      READS[format](exported(capture, format));
    }),
    runs(200, 4000),
  );
  expect(opened).toBeGreaterThan(5);
});

test.for(FORMAT_NAMES)('%s: times and weights as large as their fields', (format) => {
  const most = 2n ** 64n - 1n;
  const attr = { ...CPU_CLOCK.attr, sampleType: CPU_CLOCK.attr.sampleType | SampleType.period };
  const builder = new CaptureBuilder([{ ...CPU_CLOCK, attr }]);
  for (const time of [1n, most])
    builder.sample(MAIN, time, { period: most, ...userStack(most - 10_000n) }, { ...CPU_CLOCK, attr });
  const bytes = exported(
    builder.section({
      cutNs: '1',
      death: { pid: 100, tid: 100, comm: '', signal: 'SIGSEGV', timeNs: 1e300, evidence: 'first-exit' },
    }),
    format,
  );
  READS[format](bytes);
  if (format === 'perfetto') expect(readPerfetto(bytes).samples.map(({ timeNs }) => timeNs)).toEqual([1n, most]);
});
