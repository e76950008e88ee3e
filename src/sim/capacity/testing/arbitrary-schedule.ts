/** Schedules of any shape for property tests: few CPUs, few tasks, everything happens often. */
import fc from 'fast-check';
import { ScheduleBuilder, type SwitchSchedule } from '../schedule.ts';

const step = fc.record({
  cpu: fc.nat(3),
  task: fc.nat(9),
  afterNs: fc.integer({ min: 0, max: 200_000 }),
  exits: fc.boolean(),
  records: fc.nat(60),
  recordBytes: fc.constantFrom(8, 40, 184, 1000),
});

/** A task that is in elsewhere, or has exited, does not come in. */
export const anySchedule: fc.Arbitrary<SwitchSchedule> = fc
  .record({ cpus: fc.integer({ min: 1, max: 4 }), steps: fc.array(step, { maxLength: 150 }) })
  .map(({ cpus, steps }) => {
    const builder = new ScheduleBuilder(cpus);
    const unavailable = new Set<number>();
    let now = 0;
    for (const { cpu: anyCpu, task, afterNs, exits, records, recordBytes } of steps) {
      const cpu = anyCpu % cpus;
      const prev = builder.current(cpu);
      const next = unavailable.has(task) ? 0 : task;
      if (prev === 0 && next === 0) continue;
      now += afterNs;
      builder.switched(now, cpu, next, exits && prev !== 0, records, records * recordBytes);
      if (prev !== 0 && !exits) unavailable.delete(prev);
      if (next !== 0) unavailable.add(next);
    }
    return builder.build(now + 1000);
  });
