import { expect, it } from 'vitest';
import type { PerfRecord } from '../abi/record.ts';
import { SideBandLog, type SideBandSink } from './side-band-log.ts';
import { decodeAll } from './testing/cut-reading.ts';
import { attr, records } from './testing/scripted-source.ts';

function contents(sideBandLog: SideBandLog): PerfRecord[] {
  return decodeAll(Buffer.concat([...sideBandLog.records()]));
}

/** Accepts everything, or refuses rewrites. */
class Sink implements SideBandSink {
  kept: Uint8Array[] = [];
  rewrites = 0;
  isRefusing = false;

  append(appended: readonly Uint8Array[]): void {
    this.kept.push(...appended);
  }

  rewrite(all: Iterable<Uint8Array>): boolean {
    this.rewrites++;
    if (this.isRefusing) return false;
    this.kept = [...all];
    return true;
  }
}

it('keeps COMM, FORK and EXIT of every task with a ring, however often its process is renamed and maps', () => {
  const sideBandLog = new SideBandLog(attr, () => new Set([7]));
  sideBandLog.addBytes(1, records.fork({ tid: 1, pid: 1, time: 1 }, { tid: 7, pid: 1 }));
  sideBandLog.addBytes(1, records.comm({ tid: 7, pid: 1, time: 2 }, 'seven'));
  sideBandLog.addBytes(1, records.exit({ tid: 7, pid: 1, time: 3 }));
  sideBandLog.addBytes(1, records.comm({ tid: 8, pid: 1, time: 4 }, 'eight'));
  for (let i = 0; i < 10_000; i++) sideBandLog.addBytes(1, records.comm({ tid: 1, pid: 1, time: 10 + i }, `main ${i}`));
  const kept = contents(sideBandLog);
  expect(kept.length).toBeLessThan(4096);
  expect(kept.slice(0, 3).map(({ name }) => name)).toEqual(['FORK', 'COMM', 'EXIT']);
  expect(kept.some(({ id }) => id.tid === 8)).toBe(false);
});

it('keeps of a mapping that is repeated the first record since the last exec and the newest', () => {
  const sideBandLog = new SideBandLog(attr, () => new Set());
  const map = (time: number, addr = 4096n) => sideBandLog.addBytes(1, records.mmap({ tid: 1, pid: 1, time }, addr));
  for (let time = 1; time <= 10; time++) map(time);
  sideBandLog.addBytes(1, records.comm({ tid: 1, pid: 1, time: 11 }, 'new', true));
  for (let time = 12; time <= 5000; time++) map(time, time % 2 === 0 ? 4096n : 8192n);
  const times = contents(sideBandLog).map(({ id }) => Number(id.time));
  expect(times.length).toBeLessThan(2060);
  expect(times.slice(0, 3)).toEqual([11, 12, 13]);
  expect(times.at(-1)).toBe(5000);
});

it('keeps what it loads until the rings are known', () => {
  const sideBandLog = new SideBandLog(attr, () => new Set(), new Sink());
  for (let tid = 2; tid < 5000; tid++) sideBandLog.load(1, records.comm({ tid, pid: 1, time: tid }, `t${tid}`));
  expect(contents(sideBandLog)).toHaveLength(4998);
});

it('stays small however many records of no process come, and forgets no loss that they count', () => {
  const sideBandLog = new SideBandLog(attr, () => new Set());
  let lost = 0;
  for (let time = 1; time <= 20_000; time++) {
    if (time % 7 === 0 && time < 15_000) {
      sideBandLog.addBytes(0, records.lost({ tid: 0, pid: 0, time }, time));
      lost += time;
    } else sideBandLog.addBytes(0, records.switchOut({ tid: -1, pid: -1, time }));
  }
  const kept = contents(sideBandLog);
  expect(kept.length).toBeLessThan(4096);
  expect(Number(kept.at(-1)!.id.time)).toBe(20_000);
  const counted = kept.reduce((sum, record) => sum + (record.name === 'LOST' ? Number(record.body.lost) : 0), 0);
  expect(counted).toBe(lost);
});

it('forgets a process without a ring at the second call', () => {
  const sideBandLog = new SideBandLog(attr, () => new Set());
  for (const pid of [0, 1, 2]) sideBandLog.addBytes(pid, records.mmap({ tid: pid, pid, time: 1 }, 4096n));
  const pids = () => contents(sideBandLog).map(({ id }) => id.pid);
  sideBandLog.forgetRingless((pid) => pid === 1);
  expect(pids()).toEqual([0, 1, 2]);
  sideBandLog.forgetRingless((pid) => pid === 1);
  expect(pids()).toEqual([0, 1]);
});

it('gives its sink every record, also where a rewrite is refused, and has it rewritten when it is due', () => {
  const sink = new Sink();
  const sideBandLog = new SideBandLog(attr, () => new Set(), sink);
  sink.isRefusing = true;
  let time = 0;
  const add = (count: number) => {
    for (let i = 0; i < count; i++) sideBandLog.addBytes(1, records.mmap({ tid: 1, pid: 1, time: ++time }, 4096n));
    sideBandLog.flush();
  };
  for (let i = 0; i < 400; i++) add(100);
  expect(sink.kept).toHaveLength(40_000);
  expect(sink.rewrites).toBeGreaterThan(0);
  // After a refusal a rewrite is not tried at every flush.
  expect(sink.rewrites).toBeLessThan(10);
  sink.isRefusing = false;
  for (let i = 0; i < 200; i++) add(100);
  expect(sink.kept.length).toBeLessThan(30_000);
  expect(decodeAll(Buffer.concat(sink.kept)).at(-1)!.id.time).toBe(BigInt(time));
});
