// Faults of a detached recorder, injected for real. No record that was committed to a ring may be lost by any of them.
//
//     npm run faults [-- --kills 1000 --seed 1 --only killed-recorder]
//
// Needs perf events and gcc; a fault that needs root is reported and not run without it. One line a fault, then the
// sum; status 1 unless all counts are zero. `--kills` is how often the recorder is killed; other faults are injected in
// proportion.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { twoClients, vanishingClients } from './faults/clients.mjs';
import { cutWhileMapped, damagedFiles, damagedMeanwhile } from './faults/damage.mjs';
import { Findings, randomOf } from './faults/fault.mjs';
import { killedRecorder } from './faults/killed-recorder.mjs';
import { killedTargets } from './faults/killed-targets.mjs';
import { buildLoad, clearedAtExit } from './faults/processes.mjs';
import { fullMemory, noDescriptors } from './faults/shortages.mjs';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', multiple: true },
  },
});
const FAULTS = {
  'killed-recorder': killedRecorder,
  'killed-targets': killedTargets,
  'full-memory': fullMemory,
  'no-descriptors': noDescriptors,
  'damaged-files': damagedFiles,
  'damaged-meanwhile': damagedMeanwhile,
  'cut-while-mapped': cutWhileMapped,
  'vanishing-clients': vanishingClients,
  'two-clients': twoClients,
};
/** How many findings of a fault are printed. */
const MOST_SENTENCES = 10;

const kills = Number(values.kills);
const directory = mkdtempSync(join(tmpdir(), 'ringkeep-faults-'));
clearedAtExit(() => rmSync(directory, { recursive: true, force: true }));
const total = { lost: 0, unreadable: 0, leaks: 0, broken: 0 };

function progressOf(name) {
  if (!process.stderr.isTTY) return () => undefined;
  return (done, of) => process.stderr.write(`\r${name}: ${done} of ${of}${done === of ? '\r\x1b[K' : ''}`);
}

function print(name, findings) {
  const { lost, unreadable, leaks, broken, counts, skipped } = findings;
  if (skipped) {
    console.log(`${name}: not run, ${skipped}`);
    return;
  }
  const done = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  const brokenText = broken.length > 0 ? `, ${broken.length} broken` : '';
  const result = `${lost.length} lost, ${unreadable.length} unreadable, ${leaks.length} leaks${brokenText}`;
  console.log(`${name}: ${done.join(', ')} — ${result}`);
  for (const sentence of findings.all.slice(0, MOST_SENTENCES)) console.log(`  ${sentence}`);
}

try {
  const program = buildLoad(directory);
  for (const [name, run] of Object.entries(FAULTS)) {
    if (values.only && !values.only.includes(name)) continue;
    const findings = new Findings();
    try {
      await run({ program, kills, random: randomOf(Number(values.seed)), findings, progress: progressOf(name) });
    } catch (error) {
      findings.broken.push(error.stack ?? String(error));
    }
    print(name, findings);
    for (const key of Object.keys(total)) total[key] += findings[key].length;
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
if (total.broken > 0) console.log(`${total.broken} faults did not end as they should`);
console.log(`${total.lost} committed records lost, ${total.unreadable} unreadable snapshots, ${total.leaks} leaks`);
process.exitCode = Object.values(total).every((count) => count === 0) ? 0 : 1;
