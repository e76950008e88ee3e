// The history of a quiet thread among noisy ones: two threads switch as fast as they can, one wakes twice a second.
// ringkeep and `perf record --overwrite`, which also keeps the newest records only, one after the other on the same
// program.
//
//     npm run bench:quiet-thread [-- --wakeups 5]
//
// Needs perf and gcc. Printed: how many wake-ups of the quiet thread each still has at the end.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { wakeups: { type: 'string', default: '5' } } });
const ringkeep = new URL('../dist/bin/main.js', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'ringkeep-bench-'));
const workload = join(directory, 'quiet-among-noisy');
const capture = join(directory, 'perf.data');

/** Switches in of the thread named `quiet` in a capture. */
function quietWakeups() {
  const report = JSON.parse(
    execFileSync('node', [ringkeep, 'show', '--json', capture], { encoding: 'utf8', maxBuffer: 1 << 28 }),
  );
  const quiet = report.threads.find(({ comm }) => comm === 'quiet');
  return { switchesIn: quiet?.switchesIn ?? 0, threads: report.threads.length };
}

function run(name, command) {
  const { status } = spawnSync(command[0], command.slice(1), { stdio: ['ignore', 'ignore', 'ignore'] });
  const { switchesIn } = quietWakeups();
  console.log(`${name.padEnd(24)} ${switchesIn} switches in of the quiet thread kept (exit ${status})`);
}

try {
  execFileSync('gcc', [
    '-O2',
    '-pthread',
    '-o',
    workload,
    new URL('../test/fixtures/quiet-among-noisy.c', import.meta.url).pathname,
  ]);
  run('ringkeep', ['node', ringkeep, 'record', '--snapshot', 'always', '-o', capture, '--', workload, values.wakeups]);
  rmSync(capture);
  run('perf record --overwrite', [
    'perf',
    'record',
    '-q',
    '--overwrite',
    '-m',
    '128',
    '-e',
    'cpu-clock',
    '--switch-events',
    '-o',
    capture,
    '--',
    workload,
    values.wakeups,
  ]);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
