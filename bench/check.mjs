// The model checker: executions a second, what its reduction saves, how soon each strategy finds a fault, and SPIN on
// the protocols that both check.
//
//     npm run build && npm run bench:check [-- --quick]
//
// The last part needs spin and gcc, and is reported as skipped without them. Counts are exact and the same on every
// machine; times are of this one. --quick: small sizes, to see that it runs.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BoundedDpor, Dpor, Exhaustive, Pct, RandomStrategy, Search, Stateful, search } from '../dist/check/index.js';
import {
  boundedQueue,
  dekker,
  fileSystem,
  indexer,
  lastZero,
  lockedUpdates,
  lockOrder,
  lostUpdate,
  peterson,
} from '../dist/check/litmus/litmus.js';
import { gateAndWriters, slotClaim } from '../dist/check/litmus/shared-protocols.js';
import { MUTANTS } from '../dist/check/scenario/mutants.js';
import { scenarioProgram } from '../dist/check/scenario/program.js';
import { SCENARIOS } from '../dist/check/scenario/scenarios.js';

const isQuick = process.argv.includes('--quick');
const LIMIT = isQuick ? 2_000 : 300_000;
/** Executions in which a first finding is looked for. */
const FIRST_LIMIT = isQuick ? 200 : 3_000;
const SEEDS = isQuick ? 5 : 11;

function timed(run) {
  const from = performance.now();
  const result = run();
  return { result, ms: performance.now() - from };
}

function row(...cells) {
  console.log(cells.map((cell, i) => (i === 0 ? String(cell).padEnd(26) : String(cell).padStart(14))).join(''));
}

const scenario = (name) => SCENARIOS.find((candidate) => candidate.name === name);
const wrongForm = (name) => {
  const form = MUTANTS.find((candidate) => candidate.name === name);
  const program = scenarioProgram(scenario(form.scenario), { slotsPerCpu: form.slotsPerCpu }, form.mutant);
  return { program: { ...program, name } };
};
const corrected = (name) => ({ program: scenarioProgram(scenario(name), { slotsPerCpu: 1 }) });
const posted = (name) => ({ program: scenarioProgram(scenario(name), 'posted') });

const count = (value) => (value < 1e9 ? Math.round(value).toLocaleString('en') : value.toExponential(1));
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

console.log('Speed of the reduction: source sets and sleep sets, every trace once');
row('program', 'traces', 'redundant', 'steps', 'executions/s', 'steps/s');
const sizes = isQuick
  ? [indexer(12), lastZero(5), corrected('evict-at-page0')]
  : [
      indexer(15),
      lastZero(10),
      fileSystem(18),
      lockedUpdates(7),
      ...['evict-at-page0', 'rm-while-executing', 'exit-then-rm', 'live-recorder'].map(corrected),
    ];
for (const { program } of sizes) {
  const { result, ms } = timed(() => search(program, new Dpor()));
  const { executions, redundant, steps } = result;
  row(
    program.name,
    count(executions - redundant),
    count(redundant),
    count(steps),
    count((executions / ms) * 1e3),
    count((steps / ms) * 1e3),
  );
}

console.log('\nReduction: executions until everything is explored (an estimate where it is marked ~)');
row('program', 'brute force', 'dpor', 'factor', 'stateful', '2 preemptions');
for (const { program } of [
  lostUpdate(),
  dekker(),
  peterson(),
  lockedUpdates(4),
  boundedQueue(true),
  lastZero(5),
  indexer(12),
]) {
  const brute = new Search(program, new Exhaustive(), { findings: 'every', executions: LIMIT });
  while (brute.proceed(LIMIT));
  const { ended, executions } = brute.result();
  const all = ended === 'exhausted' ? executions : brute.progress().estimatedExecutions;
  const reduced = search(program, new Dpor(), { findings: 'every' }).executions;
  const within = (strategy) => {
    const found = search(program, strategy, { findings: 'every', executions: LIMIT });
    return `${found.ended === 'executions' ? '>' : ''}${count(found.executions)}`;
  };
  row(
    program.name,
    `${ended === 'exhausted' ? '' : '~'}${count(all)}`,
    count(reduced),
    `${all / reduced < 1e5 ? (all / reduced).toFixed(1) : count(all / reduced)}x`,
    within(new Stateful()),
    within(new BoundedDpor(2)),
  );
}

console.log(`\nTo the first finding: executions, and milliseconds (of random strategies the median of ${SEEDS} seeds)`);
row('program', 'dpor', '2 preemptions', 'stateful', 'pct, depth 3', 'random');
for (const { program } of [
  lostUpdate(),
  dekker(true),
  peterson(true),
  lockOrder(),
  boundedQueue(false),
  { program: slotClaim(4, true) },
  ...(isQuick
    ? [posted('rm-while-executing')]
    : [
        ...['evict-before-inc', 'stale-sg-start', 'double-evictor-slot', 'migrate-mid-claim', 'rm-while-executing'].map(
          posted,
        ),
        ...['no-wait-for-writers', 'no-recheck', 'gate-not-shut', 'no-mx'].map(wrongForm),
      ]),
]) {
  const once = (strategy) => {
    const { result, ms } = timed(() => search(program, strategy, { executions: FIRST_LIMIT }));
    return { executions: result.verdict === 'violated' ? result.executions : Number.POSITIVE_INFINITY, ms };
  };
  const show = (runs) => `${median(runs.map((r) => r.executions))}, ${median(runs.map((r) => r.ms)).toFixed(1)} ms`;
  const seeds = Array.from({ length: SEEDS }, (_, i) => i + 1);
  row(
    program.name,
    show([once(new Dpor())]),
    show([once(new BoundedDpor(2))]),
    show([once(new Stateful())]),
    show(seeds.map((seed) => once(new Pct({ seed, depth: 3 })))),
    show(seeds.map((seed) => once(new RandomStrategy(seed)))),
  );
}

console.log('\nCompared with SPIN, all explored: states or executions, and milliseconds (SPIN: of a compiled process)');
const missing = ['spin', 'gcc'].filter(
  (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).error !== undefined,
);
if (missing.length > 0) console.log(`skipped: ${missing.join(' and ')} not installed`);
else {
  row('program', 'SPIN', 'stateful', 'dpor');
  const shared = [
    [gateAndWriters(2, false), 'gate-writers', 'WRITERS=2'],
    [gateAndWriters(3, false), 'gate-writers', 'WRITERS=3'],
    [slotClaim(3, false), 'slot-claim', 'CLAIMERS=3'],
  ];
  for (const [program, file, macro] of shared) {
    const theirs = spin(new URL(`../test/fixtures/${file}.pml`, import.meta.url).pathname, macro);
    const states = timed(() => search(program, new Stateful()));
    const reduced = timed(() => search(program, new Dpor()));
    row(
      `${program.name} ${macro}`,
      `${theirs.states}, ${theirs.ms.toFixed(0)} ms`,
      `${states.result.notes.states}, ${states.ms.toFixed(0)} ms`,
      `${reduced.result.executions}, ${reduced.ms.toFixed(0)} ms`,
    );
  }
}

function spin(file, macro) {
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-bench-'));
  const run = (command, ...args) =>
    execFileSync(command, args, { cwd: directory, encoding: 'utf8', maxBuffer: 1 << 26 });
  try {
    run('spin', '-a', `-D${macro}`, file);
    run('gcc', '-O2', '-w', '-o', 'pan', 'pan.c');
    const { result, ms } = timed(() => run('./pan', '-m10000'));
    return { states: Number(/(\d+) states, stored/.exec(result)[1]), ms };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
