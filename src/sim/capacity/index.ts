/** The curated face of the capacity simulation: what the command line imports. */
import { CorrectedPolicy, type Extent } from './corrected-policy.ts';
import { PinAll } from './pin-all.ts';
import type { PolicyFactory } from './policy.ts';
import { PostedPolicy } from './posted-policy.ts';

export { batched } from './batch.ts';
export { COST_NAMES, CostModel, type CostName, type Costs, DEFAULT_COSTS, isCostName } from './cost-model.ts';
export type { PolicyFactory, PolicyKind } from './policy.ts';
export { type Recommendation, recommend } from './recommendation.ts';
export { type RecordingModel, SAMPLE_RECORD_BYTES, ScheduleBuilder, type SwitchSchedule } from './schedule.ts';
export { type SimulationResult, type SimulationSetting, simulate } from './simulation.ts';
export { generateWorkload, type WorkloadOptions } from './workload.ts';

export const pinAll: PolicyFactory = (setting, memory) => new PinAll(setting, memory);
export const posted: PolicyFactory = (setting, memory) => new PostedPolicy(setting, memory);
export function corrected(slotsPerCpu: number, extent: Extent): PolicyFactory {
  return (setting, memory) => new CorrectedPolicy(setting, memory, slotsPerCpu, extent);
}
