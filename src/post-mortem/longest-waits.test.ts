import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attrFlags, EventType, eventAttr } from '../abi/event-attr.ts';
import { Context } from '../abi/sample.ts';
import { openCapture } from '../perf-data/capture.ts';
import { type BuiltEvent, CaptureBuilder, CPU_CLOCK, SAMPLE_TYPE } from '../perf-data/testing/capture-builder.ts';
import { LongestWaits, WAITS_KEPT } from '../schedule/longest-waits.ts';
import { type PostMortemOptions, postMortem } from './post-mortem.ts';
import type { WaitReport } from './report.ts';

const MAIN = { pid: 100, tid: 100 };

function waitsOf(builder: CaptureBuilder, options: PostMortemOptions = {}): WaitReport[] {
  return postMortem(openCapture(builder.build()), options).threads.find(({ tid }) => tid === MAIN.tid)!.waits;
}

describe('the longest waits of a thread', () => {
  const builder = new CaptureBuilder()
    .switchIn(MAIN, 100n)
    .switchOut(MAIN, 200n)
    .switchIn(MAIN, 700n)
    .switchOut(MAIN, 710n, true)
    .switchIn(MAIN, 800n)
    .switchOut(MAIN, 810n)
    .switchIn(MAIN, 812n)
    .switchOut(MAIN, 820n)
    .sample({ pid: 200, tid: 200 }, 1020n);

  test('are sorted by length, sleeps and waits for a CPU, with when they ended', () => {
    expect(waitsOf(builder)).toEqual([
      { kind: 'slept', durationNs: 500, endedBeforeNs: 320, frames: null, lastSeen: null },
      { kind: 'slept', durationNs: 200, endedBeforeNs: 0, frames: null, lastSeen: null },
      { kind: 'waited', durationNs: 90, endedBeforeNs: 220, frames: null, lastSeen: null },
    ]);
  });

  test('are those that reach into the window, in their whole length', () => {
    expect(waitsOf(builder, { lastNs: 340 }).map(({ durationNs }) => durationNs)).toEqual([500, 200, 90]);
    expect(waitsOf(builder, { lastNs: 230 }).map(({ durationNs }) => durationNs)).toEqual([200, 90, 2]);
  });

  test('end with the death', () => {
    const death = {
      pid: 200,
      tid: 200,
      comm: 'b',
      signal: 'SIGSEGV',
      timeNs: 900,
      evidence: 'signal-deliver' as const,
    };
    builder.section({ death, cutNs: '1020' });
    expect(waitsOf(builder)).toMatchObject([
      { kind: 'slept', durationNs: 500, endedBeforeNs: 200 },
      { kind: 'waited', durationNs: 90, endedBeforeNs: 100 },
      { kind: 'slept', durationNs: 80, endedBeforeNs: 0 },
    ]);
  });

  test('do not include a time in which a switch was lost', () => {
    expect(waitsOf(new CaptureBuilder().switchOut(MAIN, 100n).switchOut(MAIN, 900n).switchIn(MAIN, 901n))).toEqual([
      { kind: 'slept', durationNs: 1, endedBeforeNs: 0, frames: null, lastSeen: null },
    ]);
  });

  test('have the stack that was sampled as the thread went off, not that of an earlier sample', () => {
    const attr = eventAttr({
      type: EventType.software,
      config: 3n,
      sampleType: SAMPLE_TYPE,
      flags: attrFlags('sampleIdAll'),
    });
    const switches: BuiltEvent = { name: 'context-switches', attr, ids: [13n] };
    const chain = (address: bigint) => ({ ip: address, callchain: BigUint64Array.of(Context.user, address) });
    const sampled = new CaptureBuilder([CPU_CLOCK, switches])
      .switchIn(MAIN, 1_000n)
      .sample(MAIN, 1_900n, chain(0x20n), switches)
      .switchOut(MAIN, 2_000n)
      .switchIn(MAIN, 500_000n)
      .sample(MAIN, 800_000n, chain(0x30n))
      .switchOut(MAIN, 800_010n)
      .switchIn(MAIN, 900_000n);
    expect(waitsOf(sampled).map(({ frames }) => frames?.map(({ address }) => address) ?? null)).toEqual([
      ['0x20'],
      null,
    ]);
  });
});

describe('a wait that no stack was sampled for', () => {
  const at = (address: bigint) => ({ callchain: BigUint64Array.from([Context.user, address]) });
  const seenIn = (builder: CaptureBuilder) =>
    waitsOf(builder).map(({ lastSeen }) => lastSeen && [lastSeen.earlierNs, lastSeen.frames[0]!.address]);

  test('has the stack where the thread was last seen before, and how long before', () => {
    const builder = new CaptureBuilder()
      .switchIn(MAIN, 100n)
      .sample(MAIN, 150n, at(0x10n))
      .sample(MAIN, 180n, at(0x20n))
      .switchOut(MAIN, 200n)
      .switchIn(MAIN, 900n);
    expect(seenIn(builder)).toEqual([[20, '0x20']]);
  });

  test('has no stack from an earlier time on a CPU', () => {
    const builder = new CaptureBuilder()
      .switchIn(MAIN, 100n)
      .sample(MAIN, 150n, at(0x10n))
      .switchOut(MAIN, 200n, true)
      .switchIn(MAIN, 250n)
      .switchOut(MAIN, 300n)
      .switchIn(MAIN, 900n);
    expect(seenIn(builder)).toEqual([null, [50, '0x10']]);
  });
});

test('of any sequence the longest are kept, longest first, and the earlier of two as long', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 30 }), (lengths) => {
      const waits = new LongestWaits();
      lengths.forEach((length, index) => {
        waits.add({ phase: 'sleeping', fromNs: 0n, toNs: BigInt(length), sampleIndex: index, seenIndex: -1 });
      });
      const expected = lengths
        .map((length, index) => [length, index] as const)
        .filter(([length]) => length > 0)
        .sort((a, b) => b[0] - a[0] || a[1] - b[1])
        .slice(0, WAITS_KEPT);
      expect(waits.list.map(({ toNs, sampleIndex }) => [Number(toNs), sampleIndex])).toEqual(expected);
    }),
  );
});
