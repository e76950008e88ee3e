/**
 * A scenario as a program for the checker: one execution is one simulation.
 *
 * Invariant: an execution's violations are those that the scenario looks at; the others are dropped.
 */
import { type MakeVariant, type Mutant, Simulation } from '../../sim/kernel/simulation.ts';
import { correctedVariant, postedVariant } from '../../sim/kernel/variants.ts';
import type { BrokenInvariant, Execution, PendingStep, Program } from '../program.ts';
import type { Scenario } from './scenario.ts';

/** `posted`, or `corrected` with W slots a CPU. */
export type VariantChoice = 'posted' | { readonly slotsPerCpu: number };

/** As tokens name it: `posted`, `corrected-1`. */
export function variantName(variant: VariantChoice): string {
  return variant === 'posted' ? variant : `corrected-${variant.slotsPerCpu}`;
}

/** The scenario's program with one of the protocols; with a mutant, that of a wrong implementation. */
export function scenarioProgram(scenario: Scenario, variant: VariantChoice, mutant?: Mutant): Program {
  const makeVariant = variant === 'posted' ? postedVariant(scenario.mends) : correctedVariant(variant.slotsPerCpu);
  const looksAt = variant === 'posted' ? looksAtPosted(scenario) : () => true;
  return {
    name: scenario.name,
    begin: () => new ScenarioExecution(scenario, makeVariant, looksAt, mutant),
  };
}

function looksAtPosted({ looksAt }: Scenario): (invariant: string) => boolean {
  return looksAt ? (invariant) => looksAt.includes(invariant) : (invariant) => invariant !== 'I12';
}

class ScenarioExecution implements Execution {
  readonly actors: readonly string[];
  readonly violations: BrokenInvariant[] = [];
  readonly simulation: Simulation;
  readonly #looksAt: (invariant: string) => boolean;
  #enabled: readonly number[];
  #seen = 0;

  constructor(
    { setup }: Scenario,
    makeVariant: MakeVariant,
    looksAt: (invariant: string) => boolean,
    mutant: Mutant | undefined,
  ) {
    this.simulation = new Simulation(setup, makeVariant, { mutant });
    this.actors = this.simulation.actors;
    this.#looksAt = looksAt;
    this.#enabled = this.simulation.enabled();
    this.#collect();
  }

  enabled(): readonly number[] {
    return this.#enabled;
  }

  pending(actor: number): PendingStep | undefined {
    return this.simulation.pending(actor);
  }

  advance(actor: number): void {
    this.simulation.advance(actor);
    this.#enabled = this.simulation.enabled();
    if (this.#enabled.length === 0 && this.simulation.unfinished().length === 0) this.simulation.finish();
    this.#collect();
  }

  unfinished(): readonly number[] {
    return this.simulation.unfinished();
  }

  describe(): string {
    return this.simulation.describe();
  }

  fingerprint(): string {
    return this.simulation.fingerprint();
  }

  #collect(): void {
    for (; this.#seen < this.simulation.violations.length; this.#seen++) {
      const violation = this.simulation.violations[this.#seen]!;
      if (this.#looksAt(violation.invariant)) this.violations.push(violation);
    }
  }
}
