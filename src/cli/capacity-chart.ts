/** Writes the chart of a comparison. Throws `output-unwritable`. */
import { writeFileSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import type { Comparison } from '../services/capacity-comparison.ts';
import { comparisonChart } from './capacity-text.ts';

export function writeChart(path: string, comparison: Comparison): void {
  const svg = comparisonChart(comparison);
  try {
    // As all output made of captures: its owner's only.
    writeFileSync(path, svg, { mode: 0o600 });
  } catch (cause) {
    throw new RingkeepError(
      'output-unwritable',
      `the chart ${path} cannot be written`,
      { path, option: '--plot' },
      { cause },
    );
  }
}
