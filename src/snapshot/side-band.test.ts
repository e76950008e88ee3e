import { describe, expect, it } from 'vitest';
import { decodeRecord } from '../abi/record.ts';
import { asWords } from '../perf-data/record-walk.ts';
import { type NamedThread, SideBandCensus, synthesizeIdentities } from './side-band.ts';
import { CPU_CLOCK, START_NS, ThreadRecords } from './testing/synthetic.ts';

const leader = CPU_CLOCK.attr;
const main = new ThreadRecords(7, 7);

function synthesized(threads: NamedThread[], sideBandLog: readonly (readonly [bigint, Uint8Array])[]): string[][] {
  const census = new SideBandCensus(leader);
  for (const [time, record] of sideBandLog) {
    const words = asWords(record);
    census.add(words, 0, words[0]!, Number(time >> 32n), Number(time & 0xffffffffn));
  }
  const { before, after } = synthesizeIdentities(threads, census, leader);
  return [before, after].map((records) =>
    records.map((bytes) => {
      const record = decodeRecord(new DataView(bytes.buffer), 0, leader);
      const at = record.id.time === 0n ? '' : `@${record.id.time! - START_NS}`;
      if (record.name === 'COMM') return `COMM ${record.body.pid}/${record.body.tid} ${record.body.comm}${at}`;
      if (record.name === 'FORK') return `FORK ${record.body.ppid}→${record.body.pid}/${record.body.tid}${at}`;
      return record.name;
    }),
  );
}

describe('identities that the side-band log lacks', () => {
  it('a named process and its forked, named thread need no synthesized record', () => {
    const sideBandLog = [
      [0n, main.comm(0n, 'server')],
      [START_NS + 1n, main.fork(START_NS + 1n, 7, 8)],
      [START_NS + 2n, new ThreadRecords(7, 8).comm(START_NS + 2n, 'worker')],
    ] as const;
    const threads = [
      { pid: 7, tid: 7, comm: 'server' },
      { pid: 7, tid: 8, comm: 'worker' },
    ];
    expect(synthesized(threads, sideBandLog)).toEqual([[], []]);
  });

  it('an unknown thread of a recorded process is forked from it and named, at time 0', () => {
    const threads = [
      { pid: 7, tid: 7, comm: 'server' },
      { pid: 7, tid: 8, comm: 'worker' },
    ];
    expect(synthesized(threads, [])).toEqual([['COMM 7/7 server', 'FORK 7→7/8', 'COMM 7/8 worker'], []]);
  });

  it('a process whose main thread is unknown is named after its first thread', () => {
    expect(synthesized([{ pid: 7, tid: 8, comm: 'worker' }], [])).toEqual([
      ['COMM 7/7 worker', 'FORK 7→7/8', 'COMM 7/8 worker'],
      [],
    ]);
  });

  it('a forked thread without a name is named after its fork, which makes perf forget earlier names', () => {
    const fork = [START_NS + 5n, main.fork(START_NS + 5n, 9, 9)] as const;
    expect(synthesized([{ pid: 9, tid: 9, comm: 'child' }], [fork])).toEqual([[], ['COMM 9/9 child@5']]);
    const nameOfItsNumbersPastLife = [START_NS + 1n, new ThreadRecords(9, 9).comm(START_NS + 1n, 'old')] as const;
    expect(synthesized([{ pid: 9, tid: 9, comm: 'child' }], [nameOfItsNumbersPastLife, fork])).toEqual([
      [],
      ['COMM 9/9 child@5'],
    ]);
  });

  it('an unknown thread of a forked process is forked after the process', () => {
    const fork = [START_NS + 5n, main.fork(START_NS + 5n, 9, 9)] as const;
    const named = [START_NS + 6n, new ThreadRecords(9, 9).comm(START_NS + 6n, 'child')] as const;
    expect(synthesized([{ pid: 9, tid: 10, comm: 'worker' }], [fork, named])).toEqual([
      [],
      ['FORK 9→9/10@5', 'COMM 9/10 worker@5'],
    ]);
  });

  it('the idle task needs no name', () => {
    expect(synthesized([{ pid: 0, tid: 0, comm: 'swapper/1' }], [])).toEqual([[], []]);
  });
});
