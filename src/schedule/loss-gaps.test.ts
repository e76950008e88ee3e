import { describe, expect, it, test } from 'vitest';
import { SampleType } from '../abi/event-attr.ts';
import type { RingSummary } from '../abi/ringkeep-section.ts';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { readSchedule } from './schedule.ts';

const ON_0 = { pid: 100, tid: 100, cpu: 0 };
const ON_1 = { pid: 100, tid: 101, cpu: 1 };

/** `@time state`, each change of the thread. */
function changesOf(builder: CaptureBuilder, tid: number): string[] {
  const capture = openCapture(builder.build());
  const { changes } = readSchedule(capture);
  return Array.from({ length: changes.count }, (_, row) => changes.at(row))
    .filter(({ thread }) => capture.tasks.threads[thread]?.tid === tid)
    .map(({ record, state }) => `@${capture.timeAt(record)} ${state}`);
}

const lost = (builder: CaptureBuilder, task: { pid: number; tid: number; cpu: number }, time: bigint) =>
  builder.record('LOST', { id: 11n, lost: 2n }, { ...task, time });

function ring(fields: Partial<RingSummary>): RingSummary {
  const empty = { records: 1, lost: 0, overwritten: 0, firstNs: null, lastNs: null, alive: true, leftOutBytes: 0 };
  return { pid: 100, tid: 100, comm: '', ...empty, ...fields };
}

describe('a loss in the ring of a CPU', () => {
  const builder = new CaptureBuilder()
    .switchIn(ON_0, 100n)
    .switchIn(ON_1, 110n)
    .sample(ON_0, 200n)
    .record('LOST', { id: 11n, lost: 2n }, { ...ON_1, cpu: 0, time: 300n })
    .switchOut(ON_0, 400n)
    .switchOut(ON_1, 500n);

  it('makes the thread that ran there unknown, from the last record that got through to the LOST', () => {
    expect(changesOf(builder, 100)).toEqual(['@100 running', '@200 unknown', '@300 running', '@400 sleeping']);
  });

  it('does not concern a thread that runs on another CPU, even where the LOST is in its context', () => {
    expect(changesOf(builder, 101)).toEqual(['@110 running', '@500 sleeping']);
  });

  it('makes a thread unknown that was off the CPUs: it may have run there', () => {
    const asleep = new CaptureBuilder().switchIn(ON_0, 100n).switchOut(ON_1, 150n);
    lost(asleep, ON_0, 300n).switchIn(ON_1, 400n);
    expect(changesOf(asleep, 101)).toEqual(['@150 sleeping', '@150 unknown', '@300 sleeping', '@400 running']);
  });

  it('leaves a thread unknown to the end that no record shows on its CPU behind it', () => {
    const open = lost(new CaptureBuilder().switchIn(ON_0, 100n).sample(ON_0, 200n), ON_0, 300n).sample(ON_1, 900n);
    expect(changesOf(open, 100)).toEqual(['@100 running', '@200 unknown']);
    expect(changesOf(open.sample(ON_0, 1_000n), 100)).toEqual(['@100 running', '@200 unknown', '@300 running']);
  });

  it('is between the records that contradict each other, where they do', () => {
    const contradicted = lost(new CaptureBuilder().switchIn(ON_0, 100n), ON_0, 300n).switchIn(ON_0, 400n);
    expect(changesOf(contradicted, 100)).toEqual(['@100 running', '@100 unknown', '@400 running']);
  });
});

test('LOST_SAMPLES is a loss like LOST', () => {
  const builder = new CaptureBuilder()
    .switchIn(ON_0, 100n)
    .record('LOST_SAMPLES', { lost: 2n }, { ...ON_0, time: 300n })
    .switchOut(ON_0, 400n);
  expect(changesOf(builder, 100)).toEqual(['@100 running', '@100 unknown', '@300 running', '@400 sleeping']);
});

test('a loss on an unknown CPU concerns every thread', () => {
  const attr = { ...CPU_CLOCK.attr, sampleType: CPU_CLOCK.attr.sampleType & ~SampleType.cpu };
  const builder = new CaptureBuilder([{ ...CPU_CLOCK, attr }]).switchIn(ON_0, 100n).switchIn(ON_1, 110n);
  lost(builder, ON_1, 300n).switchOut(ON_0, 400n).switchOut(ON_1, 500n);
  expect(changesOf(builder, 100)).toEqual(['@100 running', '@110 unknown', '@300 running', '@400 sleeping']);
  expect(changesOf(builder, 101)).toEqual(['@110 running', '@110 unknown', '@300 running', '@500 sleeping']);
});

describe('a loss in the ring of a thread', () => {
  const snapshot = () => {
    const builder = new CaptureBuilder().switchIn(ON_0, 100n).switchIn(ON_1, 110n).switchOut(ON_1, 120n);
    return lost(builder, ON_0, 300n).switchOut(ON_0, 300n);
  };

  it('is of that thread alone', () => {
    const builder = snapshot().section({ cutNs: '400', rings: [ring({ lost: 2 }), ring({ tid: 101 })] });
    expect(changesOf(builder, 100)).toEqual(['@100 running', '@100 unknown', '@300 running', '@300 sleeping']);
    expect(changesOf(builder, 101)).toEqual(['@110 running', '@120 sleeping']);
  });

  it('behind its last record lasts to the end', () => {
    const builder = new CaptureBuilder().switchIn(ON_0, 100n).switchOut(ON_0, 200n);
    lost(builder, ON_0, 400n).section({ cutNs: '400', rings: [ring({ lost: 2 })] });
    expect(changesOf(builder, 100)).toEqual(['@100 running', '@200 sleeping', '@200 unknown']);
  });

  it('concerns others too where the kernel lost records of an unknown thread', () => {
    const builder = snapshot().section({ cutNs: '400', kernelLost: 1, rings: [ring({ lost: 2 }), ring({ tid: 101 })] });
    expect(changesOf(builder, 101)).toEqual(['@110 running', '@120 sleeping', '@120 unknown', '@300 sleeping']);
  });
});

test('thousands of losses cut a sleep into no more than some hundred pieces', () => {
  const builder = new CaptureBuilder().switchOut(ON_1, 1n);
  for (let time = 10n; time < 20_000n; time += 10n) lost(builder.switchIn(ON_0, time), ON_0, time + 2n);
  const changes = changesOf(builder, 101);
  expect(changes.length).toBeGreaterThan(100);
  expect(changes.length).toBeLessThan(600);
});
