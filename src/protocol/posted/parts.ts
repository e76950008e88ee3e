/** What the steps of the posted protocol work on, before there are steps. */
import type { PostedMachine } from './machine.ts';
import type { PostedState } from './state.ts';

/**
 * A defect that is mended, so that others can be seen by themselves. `pages-in`: after the last page shmem_pages_in
 * becomes their number; without it the last page of every ring leaks at every unpin, whatever else happens.
 * `failed-get`: a get that fails gives back slot and xpinned; without it no event is ever got anew after a failure.
 */
export type Mend = 'pages-in' | 'failed-get';

export interface PostedParts {
  readonly state: PostedState;
  readonly machine: PostedMachine;
  readonly mends: ReadonlySet<Mend>;
  /** Pages the account was charged, and how many events stand behind it. */
  readonly account: { users: number; chargedPages: number };
}
