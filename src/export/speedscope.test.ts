import { Ajv } from 'ajv';
import schema from 'speedscope/dist/release/file-format-schema.json' with { type: 'json' };
import { describe, expect, it, test } from 'vitest';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { exportedText } from './testing/exported.ts';
import { FIXTURES, MAIN, twoThreads, userStack } from './testing/fixtures.ts';

const isValid = new Ajv({ strict: false }).compile(schema);

test.for(Object.entries(FIXTURES))('what is exported of %s is what speedscope’s schema describes', ([, build]) => {
  isValid(JSON.parse(exportedText(build(), 'speedscope')));
  expect(isValid.errors).toBeNull();
});

describe('a thread’s profile', () => {
  const CLOCK = { ...CPU_CLOCK, attr: { ...CPU_CLOCK.attr, samplePeriodOrFreq: 100n } };
  const profiles = (builder: CaptureBuilder) => JSON.parse(exportedText(builder, 'speedscope')).profiles;

  it('is in true time: a sample ends where it was taken, and time that none stands for is a gap', () => {
    const builder = new CaptureBuilder([CLOCK])
      .switchIn(MAIN, 1_000n)
      .sample(MAIN, 1_150n, userStack(0x1n))
      .sample(MAIN, 1_250n, userStack(0x1n))
      .sample(MAIN, 2_000n, userStack(0x2n));
    expect(profiles(builder)[0]).toMatchObject({
      type: 'sampled',
      unit: 'nanoseconds',
      startValue: 50,
      endValue: 1_000,
      samples: [[0], [0], [], [1]],
      weights: [100, 100, 650, 100],
    });
  });

  it('never gives a sample more time than there was since the last', () => {
    const builder = new CaptureBuilder([CLOCK]).sample(MAIN, 1_000n).sample(MAIN, 1_030n);
    expect(profiles(builder)[0]).toMatchObject({ samples: [[0], [0]], weights: [0, 30], endValue: 30 });
  });

  it('counts occurrences where the event is no clock', () => {
    const faults = {
      ...CPU_CLOCK,
      name: 'page-faults',
      attr: { ...CPU_CLOCK.attr, config: 2n, samplePeriodOrFreq: 3n },
    };
    const builder = new CaptureBuilder([faults])
      .sample(MAIN, 1_000n, userStack(0x1n), faults)
      .sample(MAIN, 9_000n, userStack(0x1n), faults);
    expect(profiles(builder)[0]).toMatchObject({
      unit: 'none',
      startValue: 0,
      endValue: 6,
      samples: [[0], [0]],
      weights: [3, 3],
    });
  });

  it('is named by its process, its thread and, where there are several, its event', () => {
    expect(profiles(twoThreads()).map(({ name }: { name: string }) => name)).toEqual([
      'main 100 / main 100 — cpu-clock',
      'main 100 / worker 101 — cpu-clock',
      'main 100 / worker 101 — signal:signal_deliver',
    ]);
  });
});
