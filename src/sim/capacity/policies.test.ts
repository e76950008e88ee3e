import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../base/testing/runs.ts';
import { CostModel } from './cost-model.ts';
import {
  batched,
  corrected,
  type PolicyFactory,
  pinAll,
  posted,
  ScheduleBuilder,
  type SwitchSchedule,
} from './index.ts';
import { PostedPolicy } from './posted-policy.ts';
import { type SimulationResult, type SimulationSetting, simulate } from './simulation.ts';
import { anySchedule } from './testing/arbitrary-schedule.ts';
import { settingFor } from './testing/setting.ts';

const anySetting = fc.record({
  eventsPerTask: fc.integer({ min: 1, max: 3 }),
  pagesPerRing: fc.constantFrom(2, 3, 5, 9),
  memoryPages: fc.constantFrom(Number.POSITIVE_INFINITY, 60, 12, 3),
  lockLimitPages: fc.constantFrom(Number.POSITIVE_INFINITY, 20),
});
const everyPolicy: readonly PolicyFactory[] = [
  pinAll,
  posted,
  ...[1, 2, 4].flatMap((slots) => [corrected(slots, 'whole'), corrected(slots, 'window')]),
];
const anyPolicy = fc.constantFrom(...everyPolicy);
const anyTurns = fc.constantFrom((schedule: SwitchSchedule) => schedule, batched);

function run(
  schedule: SwitchSchedule,
  make: PolicyFactory,
  changes: Partial<SimulationSetting> = {},
): SimulationResult {
  const pagesPerRing = changes.pagesPerRing ?? 3;
  return simulate(schedule, settingFor(schedule, { costs: new CostModel(pagesPerRing), ...changes }), make);
}

describe('every policy', () => {
  it('writes a record or loses it', () => {
    fc.assert(
      fc.property(anySchedule, anyTurns, anySetting, anyPolicy, (schedule, turns, setting, make) => {
        const { produced, written, lostLate, lostUnpinned } = run(turns(schedule), make, setting).records;
        expect(written + lostLate + lostUnpinned).toBe(produced);
        expect(Math.min(written, lostLate, lostUnpinned)).toBeGreaterThanOrEqual(0);
        expect(produced).toBe(turns(schedule).producedRecords * setting.eventsPerTask);
      }),
    );
  });

  it('gives the same result for the same schedule', () => {
    fc.assert(
      fc.property(anySchedule, anySetting, anyPolicy, (schedule, setting, make) => {
        expect(run(schedule, make, setting)).toEqual(run(schedule, make, setting));
      }),
      runs(8, 300),
    );
  });

  it('never has more pinned than the peak says, nor p99 and mean above it', () => {
    fc.assert(
      fc.property(anySchedule, anySetting, anyPolicy, (schedule, setting, make) => {
        const { pinnedPages, series } = run(schedule, make, setting);
        expect(pinnedPages.p99).toBeLessThanOrEqual(pinnedPages.peak);
        expect(pinnedPages.mean).toBeLessThanOrEqual(pinnedPages.peak + 1e-9);
        expect(Math.max(...series)).toBeLessThanOrEqual(pinnedPages.peak);
        expect(pinnedPages.peak).toBeLessThanOrEqual(setting.memoryPages);
      }),
    );
  });
});

describe('corrected and write-window', () => {
  it('never exceed CPUs x W x pages of a ring, whatever happens', () => {
    fc.assert(
      fc.property(
        anySchedule,
        anyTurns,
        anySetting,
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom('whole' as const, 'window' as const),
        (schedule, turns, setting, slots, extent) => {
          const { pinnedPages } = run(turns(schedule), corrected(slots, extent), setting);
          expect(pinnedPages.bound).toBe(schedule.cpus * slots * setting.pagesPerRing);
          expect(pinnedPages.peak).toBeLessThanOrEqual(pinnedPages.bound!);
        },
      ),
    );
  });

  it('pin no more often with more slots: each list is the front of the longer one (LRU)', () => {
    fc.assert(
      fc.property(
        anySchedule,
        anyTurns,
        fc.constantFrom('whole' as const, 'window' as const),
        (schedule, turns, extent) => {
          const pins = [1, 2, 3, 4, 8].map((slots) => run(turns(schedule), corrected(slots, extent)).pins);
          expect(pins).toEqual(pins.toSorted((a, b) => b - a));
        },
      ),
    );
  });

  it('write-window pins as often as corrected, and never more at a time', () => {
    fc.assert(
      fc.property(anySchedule, fc.integer({ min: 1, max: 4 }), (schedule, slots) => {
        const [whole, window] = (['whole', 'window'] as const).map((extent) => run(schedule, corrected(slots, extent)));
        expect(window!.pins).toBe(whole!.pins);
        expect(window!.pinnedPages.peak).toBeLessThanOrEqual(whole!.pinnedPages.peak);
      }),
    );
  });

  it('unpin all that they pin: what exits is not left behind', () => {
    const builder = new ScheduleBuilder(1);
    for (let task = 1; task <= 9; task++) {
      builder.switched(task * 1e6, 0, task, task > 1, 2, 80);
    }
    builder.switched(10e6, 0, 0, true, 2, 80);
    const { pins, unpins } = run(builder.build(11e6), corrected(2, 'whole'));
    expect([pins, unpins]).toEqual([9, 9]);
  });

  it('a task that writes beyond its page has its whole ring pinned until it loses its slot', () => {
    const builder = new ScheduleBuilder(1);
    builder.switched(0, 0, 1);
    builder.switched(1e9, 0, 2, false, 10, 5000);
    builder.switched(2e9, 0, 1, false, 1, 40);
    const schedule = builder.build(3e9);
    const window = run(schedule, corrected(1, 'window'), { pagesPerRing: 9 });
    expect(window.pinnedPages).toMatchObject({ peak: 9, p99: 2 });
    expect(window.records.lostUnpinned).toBe(0);
  });

  it('with one slot two events of a task take turns, with two both are pinned', () => {
    const builder = new ScheduleBuilder(1);
    for (let i = 0; i < 20; i++) builder.switched(i * 1e9, 0, 1 + (i % 2), false, 100, 1000);
    const schedule = builder.build(20e9);
    const [one, two] = [1, 2].map((slots) => run(schedule, corrected(slots, 'whole'), { eventsPerTask: 2 }));
    expect(one!.records.lostUnpinned).toBe(one!.records.produced / 2);
    expect(two!.records.lostUnpinned).toBe(0);
  });
});

describe('posted', () => {
  it('with its count of pages mended, without exits, failures and second events, pins what corrected pins with one slot', () => {
    const mended: PolicyFactory = (setting, memory) => new PostedPolicy(setting, memory, ['pages-in']);
    fc.assert(
      fc.property(anySchedule, (any) => {
        const schedule = { ...any, exits: new Uint8Array(any.count) };
        const [ours, theirs] = [corrected(1, 'whole'), mended].map((make) => run(schedule, make));
        const { policy: _, kind: __, ...rest } = theirs!;
        expect(ours).toMatchObject(rest);
      }),
    );
  });

  it('keeps the last page of every ring that was ever unpinned', () => {
    const builder = new ScheduleBuilder(1);
    for (let task = 1; task <= 9; task++) builder.switched(task * 1e6, 0, task, false, 2, 80);
    expect(run(builder.build(11e6), posted).pinnedPages).toMatchObject({ peak: 8 + 3, bound: 3 });
  });

  it('D7: an event whose task has exited stays pinned, outside the bound', () => {
    const builder = new ScheduleBuilder(1);
    for (let task = 1; task <= 9; task++) {
      builder.switched(task * 1e6, 0, task, task > 1, 2, 80);
    }
    const schedule = builder.build(11e6);
    expect(run(schedule, posted).pinnedPages).toMatchObject({ peak: 9 * 3, bound: 3 });
    expect(run(schedule, corrected(1, 'whole')).pinnedPages).toMatchObject({ peak: 3, bound: 3 });
  });

  it('of two events of a task one loses all, for ever', () => {
    const builder = new ScheduleBuilder(1);
    for (let i = 0; i < 20; i++) builder.switched(i * 1e9, 0, 1 + (i % 2), false, 100, 1000);
    const { records, pins } = run(builder.build(20e9), posted, { eventsPerTask: 2 });
    expect(records.lostUnpinned).toBe(records.produced / 2);
    expect(pins).toBe(2 * 20);
  });

  it('a get that failed once leaves an event that never writes again', () => {
    const builder = new ScheduleBuilder(2);
    builder.switched(0, 0, 1);
    builder.switched(1e9, 1, 2); // No room: both would be pinned.
    builder.switched(2e9, 0, 0, false, 10, 400);
    builder.switched(3e9, 1, 3, false, 10, 400);
    builder.switched(4e9, 0, 2);
    builder.switched(5e9, 0, 0, false, 10, 400);
    const schedule = builder.build(6e9);
    // Task 2 comes again where its claim makes room: corrected tries again, posted never does.
    expect(run(schedule, posted, { memoryPages: 3 }).records).toMatchObject({ produced: 30, written: 10 });
    expect(run(schedule, corrected(1, 'whole'), { memoryPages: 3 }).records.written).toBe(20);
    expect(run(schedule, corrected(1, 'window'), { memoryPages: 4 }).records.written).toBe(30);
  });
});

describe('pin-all', () => {
  it('pins every ring there is: tasks x pages of a ring', () => {
    fc.assert(
      fc.property(anySchedule, (any) => {
        const schedule = { ...any, exits: new Uint8Array(any.count) };
        const { pinnedPages, records, refusedTasks } = run(schedule, pinAll);
        expect(pinnedPages.peak).toBe(schedule.tasks * 3);
        expect([records.written, refusedTasks]).toEqual([records.produced, 0]);
      }),
    );
  });

  it('refuses rings beyond the lock limit, whose records are lost', () => {
    const builder = new ScheduleBuilder(1);
    for (let task = 1; task <= 5; task++) builder.switched(task * 1e6, 0, task, false, 10, 400);
    const { pinnedPages, records, refusedTasks } = run(builder.build(6e6), pinAll, { lockLimitPages: 7 });
    expect([pinnedPages.peak, refusedTasks]).toEqual([6, 3]);
    expect(records).toMatchObject({ written: 20, lostUnpinned: 20 });
  });
});

describe('a record', () => {
  it('is lost when it falls into the time its pin takes, but waits for a batch', () => {
    const builder = new ScheduleBuilder(1);
    builder.switched(0, 0, 1);
    builder.switched(20_000, 0, 0, false, 100, 4000);
    const schedule = builder.build(1e6);
    // mlock of three pages that were never touched: 5.4 + 13.2 µs of 20.
    const { records, longestPinNs } = run(schedule, corrected(1, 'whole'));
    expect(Math.round(longestPinNs)).toBe(18_575);
    expect(records).toMatchObject({ lostLate: 93, lostUnpinned: 0 });
    expect(run(batched(schedule), corrected(1, 'whole')).records).toMatchObject({ lostLate: 0, lostUnpinned: 0 });
  });
});

describe('memory pressure', () => {
  it('costs swap-ins of the rings that come back, of whole rings more than of windows', () => {
    const builder = new ScheduleBuilder(1);
    for (let i = 0; i < 100; i++) builder.switched(i * 1e7, 0, 1 + (i % 10), false, 2, 80);
    const schedule = builder.build(1e9);
    const limits = { pagesPerRing: 9, memoryPages: 18 };
    const [whole, window] = (['whole', 'window'] as const).map((extent) => run(schedule, corrected(1, extent), limits));
    expect(whole!.swapIns).toBe(90 * 9);
    expect(window!.swapIns).toBe(90 * 2);
    expect(run(schedule, corrected(1, 'window'), { pagesPerRing: 9 }).swapIns).toBe(0);
  });
});
