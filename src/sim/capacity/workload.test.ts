import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../base/testing/runs.ts';
import { batched } from './batch.ts';
import { EventQueue } from './event-queue.ts';
import { ScheduleBuilder, type SwitchSchedule } from './schedule.ts';
import { anySchedule } from './testing/arbitrary-schedule.ts';
import { generateWorkload, type WorkloadOptions } from './workload.ts';

const SMALL: WorkloadOptions = {
  cpus: 4,
  tasks: 50,
  switchesPerCpuS: 1000,
  lengthNs: 2e9,
  utilisation: 0.5,
  zipfExponent: 1,
  exitsPerS: 5,
  recording: { sampleHz: 99, sampleBytes: 184 },
  seed: 1,
};

/**
 * Fails unless times rise, each CPU's rows join, and no task is in twice, comes in before its birth, or after its
 * exit.
 */
function requireWellFormed(schedule: SwitchSchedule): void {
  const current = Int32Array.from(schedule.initial);
  const isIn = new Set(schedule.initial);
  const hasExited = new Set<number>();
  let last = 0;
  let switchIns = 0;
  for (let row = 0; row < schedule.count; row++) {
    const [now, cpu, prev, next] = [
      schedule.timeNs[row]!,
      schedule.cpu[row]!,
      schedule.prev[row]!,
      schedule.next[row]!,
    ];
    expect(now).toBeGreaterThanOrEqual(last);
    expect(prev).toBe(current[cpu]);
    if (schedule.exits[row] === 1) hasExited.add(prev);
    if (prev !== 0) isIn.delete(prev);
    if (next !== 0) {
      switchIns++;
      expect(isIn.has(next)).toBe(false);
      expect(hasExited.has(next)).toBe(false);
      expect(schedule.bornNs[next]!).toBeLessThanOrEqual(now);
      isIn.add(next);
    }
    current[cpu] = next;
    last = now;
  }
  expect(last).toBeLessThanOrEqual(schedule.endNs);
  expect(schedule.switchIns).toBe(switchIns);
  expect(schedule.records.reduce((sum, each) => sum + each, 0)).toBe(schedule.producedRecords);
  expect(schedule.bytes.reduce((sum, each) => sum + each, 0)).toBe(schedule.producedBytes);
}

describe('a generated workload', () => {
  it('is a schedule, whatever is asked for', () => {
    fc.assert(
      fc.property(
        fc.record({
          cpus: fc.integer({ min: 1, max: 20 }),
          tasks: fc.integer({ min: 1, max: 60 }),
          switchesPerCpuS: fc.integer({ min: 1, max: 3000 }),
          utilisation: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
          zipfExponent: fc.double({ min: 0, max: 3, noNaN: true }),
          exitsPerS: fc.nat(500),
          seed: fc.nat(),
        }),
        (options) => requireWellFormed(generateWorkload({ ...SMALL, ...options, lengthNs: 5e7 })),
      ),
      runs(4, 200),
    );
  }, 120_000);

  it('is the same for the same seed, and another for another', () => {
    const [one, same, other] = [SMALL, SMALL, { ...SMALL, seed: 2 }].map(generateWorkload);
    expect(same).toEqual(one);
    expect(other!.timeNs.slice(0, 20)).not.toEqual(one!.timeNs.slice(0, 20));
  });

  it('has all its tasks, also those that sleep from beginning to end', () => {
    expect(generateWorkload({ ...SMALL, tasks: 1000, lengthNs: 1e6, exitsPerS: 0 }).tasks).toBe(1000);
  });

  it('switches about as often as was asked for, and says how often', () => {
    const { switchIns } = generateWorkload({ ...SMALL, tasks: 500 });
    expect(switchIns / (4 * 1000 * 2)).toBeCloseTo(1, 1);
  });

  it('keeps the CPUs as busy as was asked for', () => {
    const schedule = generateWorkload({ ...SMALL, tasks: 500, utilisation: 0.3 });
    const sinceNs = new Float64Array(4);
    let busyNs = 0;
    for (let row = 0; row < schedule.count; row++) {
      const cpu = schedule.cpu[row]!;
      if (schedule.prev[row] !== 0) busyNs += schedule.timeNs[row]! - sinceNs[cpu]!;
      sinceNs[cpu] = schedule.timeNs[row]!;
    }
    expect(busyNs / (4 * SMALL.lengthNs)).toBeCloseTo(0.3, 1);
  });

  it('has few busy tasks and many quiet ones, unless all are to be alike', () => {
    const busiestPart = (zipfExponent: number) => {
      const { next, tasks, switchIns } = generateWorkload({ ...SMALL, tasks: 500, zipfExponent, exitsPerS: 0 });
      const times = new Float64Array(tasks + 1);
      for (const task of next) if (task !== 0) times[task]!++;
      return (
        times
          .toSorted()
          .slice(-50)
          .reduce((sum, each) => sum + each, 0) / switchIns
      );
    };
    expect(busiestPart(1)).toBeGreaterThan(0.5);
    expect(busiestPart(0)).toBeLessThan(0.2);
  });

  it('replaces those that exit by new ones', () => {
    const schedule = generateWorkload({ ...SMALL, exitsPerS: 50 });
    const exits = schedule.exits.reduce((sum, each) => sum + each, 0);
    expect(exits).toBeGreaterThan(50);
    expect(schedule.tasks).toBe(50 + exits);
  });

  it('is refused where it cannot be', () => {
    for (const wrong of [{ cpus: 0 }, { tasks: 0 }, { utilisation: 1 }, { exitsPerS: -1 }, { lengthNs: Number.NaN }])
      expect(() => generateWorkload({ ...SMALL, ...wrong })).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });
});

it('the records of a residency are two switches and the samples its running time makes', () => {
  const builder = new ScheduleBuilder(1, { sampleHz: 100, sampleBytes: 200 });
  builder.switched(0, 0, 1);
  builder.switched(15e6, 0, 0);
  builder.switched(20e6, 0, 1);
  builder.switched(25e6, 0, 0);
  const { records, bytes, producedRecords } = builder.build(30e6);
  expect([...records]).toEqual([0, 3, 0, 3]); // 15 ms make one sample and leave half of one.
  expect([...bytes]).toEqual([0, 280, 0, 280]);
  expect(producedRecords).toBe(6);
});

it('events of a queue come in order of time, then of their actors', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(40)), fc.array(fc.nat(5), { minLength: 41, maxLength: 41 }), (actors, times) => {
      const queue = new EventQueue(41);
      for (const actor of actors) queue.push(times[actor]!, actor);
      const popped: number[] = [];
      while (!queue.isEmpty) popped.push(queue.pop());
      expect(popped).toEqual(actors.toSorted((a, b) => times[a]! - times[b]! || a - b));
      expect(queue.nextNs).toBe(Number.POSITIVE_INFINITY);
    }),
  );
});

describe('batches', () => {
  const live = { intervalNs: 100_000, wakeBytes: 4096 };

  it('lose no record, and give each task one turn a batch', () => {
    fc.assert(
      fc.property(anySchedule, (schedule) => {
        const turns = batched(schedule, live);
        const stillIn = schedule.cpus; // At most: each counts its switch-in, whose residency never ends.
        expect(turns.producedRecords - schedule.producedRecords).toBeGreaterThanOrEqual(0);
        expect(turns.producedRecords - schedule.producedRecords).toBeLessThanOrEqual(schedule.switchIns + stillIn);
        expect(turns.switchIns).toBeLessThanOrEqual(2 * schedule.switchIns + schedule.cpus);
        const seen = new Set<string>();
        for (let row = 0; row < turns.count; row++) {
          if (turns.next[row] === 0) continue;
          const turn = `${turns.timeNs[row]} ${turns.next[row]}`;
          // Two batches can end at the same moment only where the first of them was full.
          if (schedule.producedBytes < live.wakeBytes) expect(seen.has(turn)).toBe(false);
          seen.add(turn);
        }
      }),
    );
  });

  it('take a thread on account of the CPU of its first record, in the order of first records', () => {
    const builder = new ScheduleBuilder(2);
    builder.switched(10, 0, 1);
    builder.switched(20, 1, 2);
    builder.switched(30, 0, 3, false, 2, 80);
    builder.switched(40, 1, 1, false, 2, 80);
    const turns = batched(builder.build(100), live);
    expect(Array.from(turns.next, (task, row) => [turns.cpu[row], task])).toEqual([
      [0, 1],
      [1, 2],
      [0, 3],
      [0, 0],
      [1, 0],
    ]);
    expect(turns.timeNs.every((timeNs) => timeNs === 100)).toBe(true);
  });

  it('end early when a CPU has written half its ring', () => {
    const builder = new ScheduleBuilder(1);
    builder.switched(10, 0, 1);
    builder.switched(20, 0, 0, false, 100, 4000);
    builder.switched(30, 0, 1);
    builder.switched(40, 0, 0, false, 100, 4000);
    const turns = batched(builder.build(1000), { intervalNs: 1000, wakeBytes: 4096 });
    expect([...turns.timeNs]).toEqual([40, 40]);
    expect(turns.producedRecords).toBe(200);
  });
});
