/** What `check --markdown` prints: docs/FINDINGS.md. Pure: text from results. */
import { SCENARIOS } from '../check/scenario/scenarios.ts';
import type { Checked, ShownFinding } from './check-text.ts';

/** Columns of a trace. */
export const DOCUMENT_WIDTH = 110;

const INTRODUCTION = `Each section is a scenario: a set-up of tasks, CPUs and rings on the simulated kernel that docs/PROTOCOL.md describes, searched for orders
of steps that break an invariant. No order is given to the search, so it finds other defects on the way. What the scenario is about is shown by the smallest schedule that shrinking came to: a
column an actor, a row a step, a rule where another actor goes on, then what broke and the state before and after that step. Steps and invariants have their names from
docs/PROTOCOL.md. \`ringkeep check --replay TOKEN\` performs a schedule again.`;

/**
 * All verdicts in a table, then each scenario with its findings, each with its mend. What is about no defect in particular and breaks
 * all the same says nothing new and is left out.
 */
export function formatDocument(checked: readonly Checked[]): string {
  const all = checked.filter(
    ({ scenario, verdict }) => verdict !== 'violated' || scenarioOf(scenario)?.defect !== 'none',
  );
  const violated = all.filter(({ verdict }) => verdict === 'violated').length;
  const variants = [...new Set(all.map(({ variant }) => variant))].join(', ');
  return `# Findings: ${variants}

Made by \`npm run findings\`; a test replays every schedule in it.

${INTRODUCTION}

${violated} of ${all.length} break. What does not is a control, or exhausted or bounded as said there.

| Scenario | About | Verdict | Breaks | Steps |
| --- | --- | --- | --- | --- |
${all.map(row).join('\n')}

${all.map(section).join('\n')}`;
}

function row(checked: Checked): string {
  const { scenario, verdict } = checked;
  const subject = subjectOf(checked);
  const breaks = subject.map(({ invariant, step }) => `${invariant} at ${step}`).join(', ') || '–';
  const steps = subject.map((finding) => finding.steps).join(', ') || '–';
  return `| [${scenario}](#${scenario.toLowerCase()}) | ${scenarioOf(scenario)?.defect ?? ''} | ${verdict} | ${breaks} | ${steps} |`;
}

function section(checked: Checked): string {
  const { scenario, variant, summary, verdict, executions, strategy, findings } = checked;
  const { mend, mends = [] } = scenarioOf(scenario) ?? {};
  const isolated =
    mends.length > 0 && variant === 'posted' ? `\nWith ${mends.join(', ')} mended, to see it by itself.\n` : '';
  const mended = mend === undefined ? '' : `\n**The mend:** ${mend}\n`;
  const explored = `\n${verdict} after ${executions} executions (${strategy}).\n`;
  const subject = subjectOf(checked);
  const shown = subject.map(
    ({ invariant, step, message, trace, token }) =>
      `\n**${invariant}** at \`${step}\`: ${message}\n\n\`\`\`text\n${trace.trimEnd()}\n\`\`\`\n\n\`${token}\`\n`,
  );
  const others = findings.filter((finding) => !subject.includes(finding));
  const also = others.map(({ invariant, step, token }) => `- ${invariant} at \`${step}\`: \`${token}\`\n`);
  if (also.length > 0) shown.push(`\nFound on the way, of other defects:\n\n${also.join('')}`);
  return `## ${scenario}\n\n${summary}\n${isolated}${mended}${explored}${shown.join('')}`;
}

/** The findings that the scenario is about: as its listed schedule breaks, else by the same invariant; all, where it names none. */
function subjectOf({ scenario, findings }: Checked): readonly ShownFinding[] {
  const breaks = scenarioOf(scenario)?.breaks ?? [];
  if (breaks.length === 0) return findings;
  const exact = findings.filter(({ invariant, step }) =>
    breaks.some((expected) => expected.invariant === invariant && expected.step === step),
  );
  return exact.length > 0
    ? exact
    : findings.filter(({ invariant }) => breaks.some((expected) => expected.invariant === invariant));
}

function scenarioOf(name: string) {
  return SCENARIOS.find((scenario) => scenario.name === name);
}
