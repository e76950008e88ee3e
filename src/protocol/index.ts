/** The curated face of the protocol: what other rooms import. */
export { Account } from './account.ts';
export { BareMachine } from './bare-machine.ts';
export type { EventOptions } from './corrected/life.ts';
export type { SchedIn } from './corrected/sched.ts';
export type { StateOptions } from './corrected/state.ts';
export { EventState } from './event-state.ts';
export type { Machine } from './machine.ts';
export { Pinning, type PinningOptions, type PinningStats } from './pinning.ts';
export { LOCATION_OWNERS, type Location, locate, type Operation, runToEnd, Step } from './step.ts';
export { WorkList } from './work-list.ts';
