/**
 * The scenarios as the command line's catalogue: each in the posted form, and in the corrected one with W slots a
 * CPU.
 */
import type { CatalogueEntry } from '../catalogue.ts';
import { scenarioProgram, type VariantChoice, variantName } from './program.ts';
import { SCENARIOS } from './scenarios.ts';

const VARIANTS: readonly VariantChoice[] = ['posted', ...[1, 2, 4].map((slotsPerCpu) => ({ slotsPerCpu }))];

export const SCENARIO_CATALOGUE: readonly CatalogueEntry[] = SCENARIOS.map((scenario) => ({
  name: scenario.name,
  summary: scenario.defect === 'none' ? scenario.about : `${scenario.defect}: ${scenario.about}`,
  variants: VARIANTS.map(variantName),
  program: (variant) => scenarioProgram(scenario, VARIANTS.find((choice) => variantName(choice) === variant)!),
}));
