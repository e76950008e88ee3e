import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventAttr, SampleType } from '../abi/event-attr.ts';
import { encodeSample } from '../abi/sample.ts';
import { CPU_CLOCK, concat, START_NS, ThreadRecords } from '../snapshot/testing/synthetic.ts';
import { asWords, RecordWalk } from './record-walk.ts';

const thread = new ThreadRecords(7, 8);
const walk = new RecordWalk([CPU_CLOCK]);

function visit(words: Uint32Array, by = walk) {
  const times: bigint[] = [];
  const leftOutWords = by.walk(words, (_at, high, low) => times.push((BigInt(high) << 32n) | BigInt(low)));
  return { times, leftOutWords };
}

describe('the walk over a chunk', () => {
  const records = [
    thread.sample(START_NS + 1n, 0x1000n, 0x2000n),
    thread.switched(START_NS + 2n, true),
    thread.comm(START_NS + 3n, 'a-name-of-some-length'),
    thread.lost(START_NS + 4n, 3n),
  ];

  it('finds the time of every record', () => {
    expect(visit(asWords(concat(records)))).toEqual({
      times: [START_NS + 1n, START_NS + 2n, START_NS + 3n, START_NS + 4n],
      leftOutWords: 0,
    });
  });

  it('reads a chunk that is not aligned', () => {
    const all = concat([Uint8Array.of(0), ...records]).subarray(1);
    expect(visit(asWords(all)).times.length).toBe(4);
    expect(visit(asWords(Buffer.from(all.buffer, 1))).times.length).toBe(4);
  });

  it('stops at a record that runs over the end and returns how much it leaves out', () => {
    const all = concat(records);
    const cut = asWords(all.subarray(0, all.length - 8));
    const { times, leftOutWords } = visit(cut);
    expect(times.length).toBe(3);
    expect(leftOutWords * 4).toBe(records[3]!.length - 8);
  });

  it.each([
    ['a size of zero', (view: DataView) => view.setUint16(6, 0, true)],
    ['a size that is no multiple of 8', (view: DataView) => view.setUint16(6, 44, true)],
    ['a size that leaves no room for the trailer', (view: DataView) => view.setUint16(6, 16, true)],
    ['a type of zero', (view: DataView) => view.setUint32(0, 0, true)],
    ["a type of perf's own, which it would obey", (view: DataView) => view.setUint32(0, 68, true)],
  ])('stops at %s', (_what, damage) => {
    const all = concat(records);
    damage(new DataView(all.buffer, records[0]!.length));
    expect(visit(asWords(all)).times).toEqual([START_NS + 1n]);
  });

  it('stops at a sample whose callchain runs over its end', () => {
    const all = concat([records[1]!, records[0]!]);
    const chainCount = records[1]!.length + 8 + 6 * 8;
    const view = new DataView(all.buffer);
    expect(view.getUint32(chainCount, true)).toBe(3);
    view.setUint32(chainCount, 4, true);
    expect(visit(asWords(all)).times).toEqual([START_NS + 2n]);
  });

  it('reads samples of several events by their identifier', () => {
    const sampleType = SampleType.identifier | SampleType.tid | SampleType.time | SampleType.raw | SampleType.cpu;
    const other = { ids: [99n], attr: eventAttr({ sampleType, flags: CPU_CLOCK.attr.flags }) };
    const both = new RecordWalk([CPU_CLOCK, other]);
    const raw = encodeSample({ id: 99n, time: START_NS + 9n, pid: 1, tid: 1 }, { raw: new Uint8Array(12) }, other.attr);
    expect(visit(asWords(concat([records[0]!, raw])), both).times).toEqual([START_NS + 1n, START_NS + 9n]);
    new DataView(raw.buffer).setUint32(8 + 4 * 8, 4000, true);
    expect(visit(asWords(concat([records[0]!, raw])), both).times).toEqual([START_NS + 1n]);
  });

  it('never throws and accounts for every word, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(3)),
        fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { maxLength: 6 }),
        (picks, hits) => {
          const all = concat(picks.map((pick) => records[pick]!));
          for (const [at, byte] of hits) if (at < all.length) all[at] = byte;
          const words = asWords(all);
          let visited = 0;
          const left = walk.walk(words, (at) => {
            visited += words[at + 1]! >>> 18;
          });
          expect(visited + left).toBe(words.length);
        },
      ),
    );
  });
});
