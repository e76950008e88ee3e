/**
 * The scenarios: those of the design's list, in its order, then the others that its section D describes.
 * `requeue-on-evict-livelock`, the negative control, is a wrong form of the corrected protocol and stands among the
 * mutants.
 */
import { CLAIM_SCENARIOS } from './claim-scenarios.ts';
import { MEMORY_SCENARIOS } from './memory-scenarios.ts';
import { PAGE_SCENARIOS } from './page-scenarios.ts';
import type { Scenario } from './scenario.ts';
import { WHOLE_SCENARIOS } from './whole-scenarios.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...PAGE_SCENARIOS,
  ...CLAIM_SCENARIOS,
  ...MEMORY_SCENARIOS,
  ...WHOLE_SCENARIOS,
];
