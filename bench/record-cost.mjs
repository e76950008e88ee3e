// The cost of recording: CPU time of ringkeep and of `perf record` for the same events of the same workload.
//
//     npm run bench:record-cost [-- --seconds 30 --rounds 1 --rate 150000]
//
// Needs perf and gcc. CPU time is the recorder's own (/proc/PID/task/*/schedstat of its threads), without the
// workload's; printed in total, and from START_SECONDS on, when both have started. Both record cpu-clock at 99 Hz with
// callchains, switches, forks, names and mappings, with the same fields in each record (identifier, thread, time, CPU).
// perf is measured with its defaults, without the build ids it collects at its end, and overwriting: it then keeps, of
// all threads, only what the last 512 KiB of a CPU hold.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { within } from './deadline.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '1' },
    rate: { type: 'string', default: '150000' },
  },
});
const START_SECONDS = 2;
const RECORDS_PER_EXCHANGE = 4;
const ringkeep = new URL('../dist/bin/main.js', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'ringkeep-bench-'));
const workload = join(directory, 'ping-pong');
const exchanges = String(Math.round(Number(values.rate) / RECORDS_PER_EXCHANGE));

/** Own CPU seconds of a process, as far as it got. */
function cpuSeconds(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  return (
    threads.reduce(
      (sum, tid) => sum + Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0]),
      0,
    ) / 1e9
  );
}

/** Runs a recorder to its end; its CPU and wall seconds and what it printed on stdout. */
async function measure(command) {
  const startedMs = performance.now();
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  let cpu = 0;
  let startCpu = 0;
  const watch = setInterval(() => {
    try {
      cpu = Math.max(cpu, cpuSeconds(child.pid));
      if (performance.now() - startedMs < START_SECONDS * 1000) startCpu = cpu;
    } catch {
      clearInterval(watch); // It has exited.
    }
  }, 5);
  const status = await within(child, 'close', command.join(' '), (60 + 3 * Number(values.seconds)) * 1000);
  clearInterval(watch);
  if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}`);
  return { cpu, sinceStart: cpu - startCpu, wall: (performance.now() - startedMs) / 1000, output };
}

const perfData = join(directory, 'perf.data');
const events = [
  '-e',
  'cpu-clock',
  '-F',
  '99',
  '-g',
  '--switch-events',
  '--sample-cpu',
  '--sample-identifier',
  '-k',
  'mono',
];
const load = [workload, exchanges, values.seconds];
const perf = (...options) => ['perf', 'record', '-q', ...options, ...events, '-o', perfData, '--', ...load];
const sides = {
  ringkeep: ['node', ringkeep, 'record', '--snapshot', 'never', '--json', '--', ...load],
  'perf record': perf(),
  'perf record -B -N': perf('-B', '-N'),
  'perf record --overwrite': perf('--overwrite'),
};

try {
  execFileSync('gcc', ['-O2', '-pthread', '-o', workload, new URL('ping-pong.c', import.meta.url).pathname]);
  const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, command] of Object.entries(sides)) {
      const result = await measure(command);
      results[name].push(result);
      let what = '';
      if (name === 'ringkeep') {
        const { records, lost, wallSeconds } = JSON.parse(result.output.trim().split('\n').at(-1));
        what = `${records} records (${Math.round(records / wallSeconds)}/s), ${lost} lost`;
      } else {
        const stats = execFileSync('perf', ['report', '--stats', '-i', perfData], {
          encoding: 'utf8',
          maxBuffer: 1 << 26,
          stdio: ['ignore', 'pipe', 'ignore'],
        });
        const count = (event) => Number(new RegExp(`\\b${event} events:\\s+(\\d+)`).exec(stats)?.[1] ?? 0);
        const mebibytes = (statSync(perfData).size / 2 ** 20).toFixed(0);
        what = `${count('SWITCH')} switches, ${count('LOST')} LOST records, file of ${mebibytes} MiB`;
      }
      const cpu = `${result.cpu.toFixed(2)} s CPU (${result.sinceStart.toFixed(2)} since its start-up)`;
      console.log(`${name.padEnd(24)} ${cpu} in ${result.wall.toFixed(1)} s; ${what}`);
    }
  }
  const median = (name, key) =>
    results[name].map((result) => result[key]).toSorted((a, b) => a - b)[Math.floor(results[name].length / 2)];
  const ratio = (peer, key) => (median('ringkeep', key) / median(peer, key)).toFixed(2);
  for (const peer of Object.keys(sides).slice(1)) {
    console.log(
      `ringkeep / ${peer}: ${ratio(peer, 'cpu')} of its CPU time, ${ratio(peer, 'sinceStart')} since start-up`,
    );
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
