import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { programIn } from '../check/catalogue.ts';
import { replayToken } from '../check/replay.ts';
import { SCENARIO_CATALOGUE } from '../check/scenario/catalogue.ts';
import { SCENARIOS } from '../check/scenario/scenarios.ts';
import { parseToken } from '../check/schedule.ts';

const document = readFileSync(new URL('../../docs/FINDINGS.md', import.meta.url), 'utf8');
const sections = document
  .split(/^## /m)
  .slice(1)
  .map((text) => {
    const findings = [...text.matchAll(/^\*\*(\w+)\*\* at `([^`]+)`[\s\S]*?^`(rk1:[^`]+)`$/gm)];
    return { name: text.slice(0, text.indexOf('\n')), findings: findings.map(([, ...found]) => found) };
  });

describe('docs/FINDINGS.md', () => {
  it('has a section for every scenario that is about a defect, and a finding in each', () => {
    const without = SCENARIOS.filter(({ defect }) => defect !== 'none').filter(
      ({ name }) => !sections.some((section) => section.name === name && section.findings.length > 0),
    );
    expect(without.map(({ name }) => name)).toEqual([]);
  });

  it.each(sections.flatMap(({ findings }) => findings))('%s at %s: %s still violates it', (invariant, step, text) => {
    const token = parseToken(text!);
    const { broken } = replayToken(programIn(SCENARIO_CATALOGUE, token.program, token.variant), token);
    expect(broken.some((found) => found.invariant === invariant && found.step === step)).toBe(true);
  });
});
