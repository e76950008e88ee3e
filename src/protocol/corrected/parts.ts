/** What the steps of the corrected protocol work on. */
import type { Account } from '../account.ts';
import type { Machine } from '../machine.ts';
import type { Counters } from './counters.ts';
import type { ProtocolState } from './state.ts';

export interface CorrectedParts {
  readonly state: ProtocolState;
  readonly machine: Machine;
  readonly account: Account;
  readonly counters: Counters;
}
