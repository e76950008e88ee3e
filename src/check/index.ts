/**
 * `ringkeep/check`: a model checker for concurrent protocols, ringkeep's own or any other. docs/CHECK.md says how to
 * use it.
 *
 * Invariant: what is exported here is all that a program outside needs, and is kept stable.
 */
export { type DeclarationOptions, findUndeclared, type Undeclared } from './declarations.ts';
export { type Directive, follow, parseDirectives, printDirectives } from './directive.ts';
export {
  type Condition,
  type Invariant,
  type Model,
  type ModelActor,
  type ModelStep,
  programOf,
  step,
} from './model.ts';
export { type BrokenInvariant, type Execution, MAX_ACTORS, type PendingStep, type Program } from './program.ts';
export { type Replay, replay, replayToken, tokenOf } from './replay.ts';
export { parseToken, printToken, type Schedule, type ScheduleToken } from './schedule.ts';
export {
  type Ending,
  type Finding,
  type Progress,
  Search,
  type SearchOptions,
  type SearchResult,
  search,
  type Verdict,
} from './search.ts';
export { type ShrinkOptions, shrink } from './shrink.ts';
export { BoundedDpor } from './strategy/bounded-dpor.ts';
export { DepthFirst, type DepthFirstOptions } from './strategy/depth-first.ts';
export { Dpor } from './strategy/dpor.ts';
export { Exhaustive } from './strategy/exhaustive.ts';
export { Pct, type PctOptions } from './strategy/pct.ts';
export { RandomStrategy } from './strategy/random.ts';
export { Stateful } from './strategy/stateful.ts';
export type { Strategy } from './strategy/strategy.ts';
export { formatTrace, type TraceOptions } from './trace.ts';
