// Locked memory for many threads: ringkeep and `perf record --per-thread`, which also has a ring for each thread, one
// after the other on the same program of N threads that wake now and then.
//
//     npm run bench:locked-memory [-- --threads 2000 --seconds 5]
//
// Needs perf and gcc. Printed: the maximum in /proc/PID/status while it records, VmLck for mlock, VmPin for perf's
// rings.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { within } from './deadline.mjs';

const { values } = parseArgs({
  options: { threads: { type: 'string', default: '2000' }, seconds: { type: 'string', default: '5' } },
});
const seconds = Number(values.seconds);
const ringkeep = new URL('../dist/bin/main.js', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'ringkeep-bench-'));
const workload = join(directory, 'sleepers');

/** The most that `key` of /proc/PID/status says while `command` runs, in KiB, and what the command printed. */
async function peakOf(command) {
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  const peak = { VmLck: 0, VmPin: 0 };
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  const watch = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'latin1');
      for (const key of Object.keys(peak)) {
        peak[key] = Math.max(peak[key], Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0));
      }
    } catch {
      clearInterval(watch); // It has exited.
    }
  }, 20);
  await within(child, 'close', command.join(' '), (60 + 3 * seconds) * 1000);
  clearInterval(watch);
  return { peak, output };
}

const mebibytes = (kibibytes) => `${(kibibytes / 1024).toFixed(1)} MiB`;

try {
  execFileSync('gcc', ['-O2', '-pthread', '-o', workload, new URL('sleepers.c', import.meta.url).pathname]);
  const load = [workload, values.threads, values.seconds];
  const ours = await peakOf(['node', ringkeep, 'record', '--snapshot', 'never', '--json', '--', ...load]);
  const { tasks, lost, pinnedBytes } = JSON.parse(
    ours.output
      .trim()
      .split('\n')
      .find((line) => line.startsWith('{')),
  );
  const mlocked = `mlocked ${mebibytes(ours.peak.VmLck)} at most (bound ${mebibytes(pinnedBytes.bound / 1024)})`;
  console.log(`ringkeep: ${tasks} tasks, ${lost} lost; ${mlocked}, kernel rings ${mebibytes(ours.peak.VmPin)}`);

  // --per-thread does not inherit: the program has all its threads before perf starts.
  const program = spawn(load[0], load.slice(1), { stdio: 'ignore' });
  await new Promise((resolve) => setTimeout(resolve, 300 * seconds));
  const peer = await peakOf([
    'perf',
    'record',
    '-q',
    '--per-thread',
    '-m',
    '16',
    '-e',
    'cpu-clock',
    '-o',
    join(directory, 'perf.data'),
    '-p',
    String(program.pid),
    '--',
    'sleep',
    String(0.4 * seconds),
  ]);
  program.kill();
  const message = peer.output ? `; it prints: ${peer.output.trim().split('\n')[0]}` : '';
  console.log(`perf record --per-thread -m 16: kernel rings ${mebibytes(peer.peak.VmPin)}${message}`);
  const ratio = (ours.peak.VmLck + ours.peak.VmPin) / peer.peak.VmPin;
  const share = Number.isFinite(ratio) ? ratio.toFixed(3) : 'no figure';
  console.log(`ringkeep / perf record --per-thread: ${share} of its locked memory`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
