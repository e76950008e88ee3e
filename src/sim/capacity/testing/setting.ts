/** What simulations of tests run on: rings of three pages, no limits, unless given. */
import { CostModel } from '../cost-model.ts';
import type { SwitchSchedule } from '../schedule.ts';
import type { SimulationSetting } from '../simulation.ts';

export function settingFor(schedule: SwitchSchedule, changes: Partial<SimulationSetting> = {}): SimulationSetting {
  const pagesPerRing = changes.pagesPerRing ?? 3;
  return {
    cpus: schedule.cpus,
    tasks: schedule.tasks,
    eventsPerTask: 1,
    pagesPerRing,
    headerPages: 1,
    lockLimitPages: Number.POSITIVE_INFINITY,
    memoryPages: Number.POSITIVE_INFINITY,
    costs: new CostModel(pagesPerRing),
    ...changes,
  };
}
