/**
 * What `check` prints: a line for each scenario, a trace for each finding, and the findings as a document. Pure.
 */
import type { Program } from '../check/program.ts';
import { replay, tokenOf } from '../check/replay.ts';
import { scenarioProgram, type VariantChoice, variantName } from '../check/scenario/program.ts';
import type { Scenario } from '../check/scenario/scenario.ts';
import type { Schedule } from '../check/schedule.ts';
import type { SearchResult } from '../check/search.ts';
import { shrink } from '../check/shrink.ts';
import { formatTrace } from '../check/trace.ts';

/** A finding, shrunk. */
export interface ShownFinding {
  readonly invariant: string;
  readonly step: string;
  readonly message: string;
  readonly token: string;
  readonly steps: number;
  readonly occurrences: number;
  readonly schedule: Schedule;
  readonly trace: (width: number) => string;
}

export interface CheckedScenario {
  readonly scenario: Scenario;
  readonly variant: VariantChoice;
  readonly result: SearchResult;
  readonly findings: readonly ShownFinding[];
}

/** Candidates that shrinking one finding may execute. */
const SHRINK_EXECUTIONS = 400;
const DOCUMENT_WIDTH = 110;

/** The findings of a search, each with the shortest schedule that shrinking came to. */
export function shownFindings(program: Program, variant: string, result: SearchResult): ShownFinding[] {
  const shown = new Map<string, ShownFinding>();
  for (const { invariant, schedule, occurrences } of result.findings) {
    const shrunk = shrink(program, schedule, invariant, { executions: SHRINK_EXECUTIONS });
    const broken = shrunk.broken.find((candidate) => candidate.invariant === invariant)!;
    // Two ways into the same break can shrink to one.
    const key = `${invariant} at ${broken.step}`;
    const known = shown.get(key);
    if (known && known.steps <= shrunk.schedule.length) continue;
    shown.set(key, {
      invariant,
      step: broken.step,
      message: broken.message,
      token: tokenOf(program.name, variant, shrunk),
      steps: shrunk.schedule.length,
      occurrences: occurrences + (known?.occurrences ?? 0),
      schedule: shrunk.schedule,
      trace: (width) => formatTrace(program, shrunk.schedule, { width }),
    });
  }
  return [...shown.values()];
}

/** One scenario's line, and its findings under it. */
export function formatCheck({ scenario, variant, result, findings }: CheckedScenario, width: number): string {
  const { verdict, executions, steps, ended, strategy } = result;
  const why = verdict === 'bounded' ? ` (${ended})` : '';
  const line = `${verdict.padEnd(9)} ${scenario.name} ${variantName(variant)}: ${executions} executions, ${steps} steps, ${strategy}${why}\n`;
  return line + findings.map((finding) => formatFinding(finding, width)).join('');
}

function formatFinding({ invariant, step, message, token, trace }: ShownFinding, width: number): string {
  const indented = trace(width - 2)
    .trimEnd()
    .replace(/^/gm, '  ');
  return `  ${invariant} at ${step}: ${message}\n${indented}\n  again: ringkeep check --replay ${token}\n\n`;
}

/** A replayed schedule: what the scenario is about, and the trace. */
export function formatScenario(scenario: Scenario, variant: VariantChoice, schedule: Schedule, width: number): string {
  const program = scenarioProgram(scenario, variant);
  const { broken } = replay(program, schedule);
  const verdict = broken.length > 0 ? 'violated' : 'nothing broke';
  return `${scenario.name}, ${variantName(variant)}: ${verdict}\n${scenario.about}\n\n${formatTrace(program, schedule, { width })}`;
}

/** The findings in the posted protocol as a document for whoever maintains such code. */
export function formatFindings(checked: readonly CheckedScenario[], all: readonly Scenario[]): string {
  const sections = checked.map((entry) => section(entry));
  const found = checked.filter(({ findings }) => findings.length > 0);
  return `# Findings in the patch as posted

Made by \`ringkeep check --variant posted --markdown\`; a test compares this file with what that prints. Each section is a scenario: a set-up of
tasks, CPUs and rings on the simulated kernel of docs/PROTOCOL.md, searched for orders of steps that break an invariant. No order is given to
the search. Of what it finds, each way to break is shown once, by the shortest schedule that shrinking came to: a column an actor, a row
a step, a rule where another actor goes on. Steps have the names of docs/PROTOCOL.md. \`ringkeep check --replay TOKEN\` runs a schedule again.

${found.length} of ${checked.length} scenarios break; the others are controls. Of the design's defects D9 and D17 are not in the machine; D15 and D16 break no invariant
by themselves and are shown by tests.

| Scenario | Defect | Breaks | Steps |
| --- | --- | --- | --- |
${checked.map(row).join('\n')}

${sections.join('\n')}${all.length === checked.length ? '' : `\n${all.length - checked.length} scenarios were left out.\n`}`;
}

function row({ scenario, findings }: CheckedScenario): string {
  const breaks = findings.map(({ invariant, step }) => `${invariant} at \`${step}\``).join(', ') || '–';
  return `| [${scenario.name}](#${scenario.name.toLowerCase()}) | ${scenario.defect} | ${breaks} | ${findings.map(({ steps }) => steps).join(', ')} |`;
}

function section({ scenario, result, findings }: CheckedScenario): string {
  const { name, defect, about, mend, mends = [] } = scenario;
  const mended = mends.length === 0 ? '' : ` (with ${mends.join(', ')} mended, to see it by itself)`;
  const head = `## ${name}\n\n**${defect === 'none' ? 'Control' : defect}.** ${about}${mended}\n`;
  if (findings.length === 0)
    return `${head}\nNothing breaks: ${result.verdict} after ${result.executions} executions.\n`;
  const shown = findings.map(
    ({ message, token, trace, invariant }) =>
      `\n${invariant}: ${message}.\n\n\`\`\`text\n${trace(DOCUMENT_WIDTH).trimEnd()}\n\`\`\`\n\n\`${token}\`\n`,
  );
  return `${head}${mend === undefined ? '' : `\nThe mend: ${mend}\n`}${shown.join('')}`;
}
