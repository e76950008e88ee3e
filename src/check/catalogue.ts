/**
 * The programs that can be asked for by name: what the command line checks.
 *
 * Invariant: a name and a variant always give the same program, so that a token means the same wherever it is replayed.
 */
import { RingkeepError } from '../base/error.ts';
import type { Program } from './program.ts';

export interface CatalogueEntry {
  readonly name: string;
  /** What it shows, in a line. */
  readonly summary: string;
  readonly variants: readonly string[];
  /** The program in one of its variants. */
  readonly program: (variant: string) => Program;
}

export type Catalogue = readonly CatalogueEntry[];

/** A program by name. Throws `bad-argument` for what the catalogue does not have. */
export function programIn(catalogue: Catalogue, name: string, variant: string): Program {
  const entry = entryIn(catalogue, name);
  if (!entry.variants.includes(variant))
    throw new RingkeepError(
      'bad-argument',
      `${name} has no variant "${variant}", only ${entry.variants.join(' and ')}`,
      {
        argument: '--variant',
        text: variant,
      },
    );
  return entry.program(variant);
}

export function entryIn(catalogue: Catalogue, name: string): CatalogueEntry {
  const entry = catalogue.find((one) => one.name === name);
  if (!entry)
    throw new RingkeepError(
      'bad-argument',
      `there is no scenario "${name}"; there are ${catalogue.map((one) => one.name).join(', ')}`,
      {
        argument: 'scenario',
        text: name,
      },
    );
  return entry;
}
