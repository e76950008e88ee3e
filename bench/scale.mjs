// Very many tasks: whether all are recorded, the bound holds and no fork fails, and how long attaching takes.
//
//     npm run scale [-- --threads 10000 --wakes 2 --seconds 60 --forks 2000 --attach 2000]
//
//  - a process of 10,000 threads, each of which wakes twice a second, is attached to and recorded for a while
//  - 2,000 children a second, each a millisecond old, for a minute; the same without a recorder and with perf record
//  - attaching to a process of 2,000 threads; how long `perf record -p` takes to begin and end on the same process
//
// Status 1 if records were lost, a task went unrecorded, a fork failed or the bound was exceeded. Needs perf and gcc.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { inPlace } from './faults/fault.mjs';
import { clearedAtExit, keep, Recorder } from './faults/processes.mjs';

const { values } = parseArgs({
  options: {
    threads: { type: 'string', default: '10000' },
    wakes: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '60' },
    forks: { type: 'string', default: '2000' },
    attach: { type: 'string', default: '2000' },
  },
});
const seconds = Number(values.seconds);
/** How long a record may wait in the kernel's ring. */
const SETTLING_MS = 1500;
const wrong = [];

class Crowd {
  #lines;

  static async start(program, ...args) {
    const crowd = new Crowd();
    crowd.child = spawn(program, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    crowd.pid = crowd.child.pid;
    crowd.exited = keep(crowd.child);
    crowd.#lines = createInterface({ input: crowd.child.stdout })[Symbol.asyncIterator]();
    await crowd.say();
    return crowd;
  }

  async say() {
    return (await this.#lines.next()).value;
  }

  async end() {
    this.child.stdin.end();
    await this.exited;
  }
}

const kibibytes = (bytes) => `${Math.round(bytes / 1024)} KiB`;

/** Checks the recorder's own counts; in words. */
function judge(what, { stats, degraded }, tasks) {
  const { records, lost, unrecordedTasks, pinnedBytes, pins } = stats;
  if (lost > 0) wrong.push(`${what}: ${lost} records lost`);
  if (unrecordedTasks > 0) wrong.push(`${what}: ${unrecordedTasks} tasks went unrecorded`);
  if (stats.tasks < tasks) wrong.push(`${what}: of ${tasks} tasks ${stats.tasks} are known`);
  if (pinnedBytes.peak > pinnedBytes.bound) wrong.push(`${what}: the bound was exceeded`);
  wrong.push(...degraded.map((sentence) => `${what}: ${sentence}`));
  const pinned = `pinned ${kibibytes(pinnedBytes.peak)} at most, bound ${kibibytes(pinnedBytes.bound)}, ${pins} pins`;
  return `${stats.tasks} tasks, ${records} records, ${lost} lost, ${unrecordedTasks} unrecorded; ${pinned}`;
}

function locked(pid) {
  return Number(/VmLck:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
}

async function manyThreads(program) {
  await inPlace(async ({ directory }) => {
    const crowd = await Crowd.start(program, 'threads', values.threads, values.wakes);
    const recorder = await Recorder.up(directory);
    const startedMs = performance.now();
    await recorder.attach(crowd.pid, 'crowd');
    const attachMs = performance.now() - startedMs;
    let most = 0;
    for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs; await sleep(250)) {
      most = Math.max(most, locked(recorder.pid));
    }
    const status = await recorder.status();
    const what = `${values.threads} threads, ${values.wakes} wakes a second each`;
    const counts = judge(what, status, Number(values.threads));
    const attached = `attached in ${(attachMs / 1000).toFixed(2)} s`;
    const share = `recorder ${(100 * status.recorderCpuShare).toFixed(0)} % of a CPU`;
    console.log(`${what}, ${seconds} s: ${counts}; VmLck ${kibibytes(most)} at most; ${attached}; ${share}`);
    if (most > status.stats.pinnedBytes.bound) wrong.push(`${what}: VmLck was above the bound`);
    await crowd.end();
    await recorder.down();
  });
}

/** The program's figures of its forks; `begin` runs before them, and what it returns after them. */
async function forksDuring(program, begin) {
  const crowd = await Crowd.start(program, 'forks', values.forks, seconds);
  const end = await begin(crowd);
  crowd.child.stdin.write('\n');
  const [forks, failed, meanUs, longestUs] = (await crowd.say()).split(' ').map(Number);
  const said = await end();
  await crowd.exited;
  return { said, forks, failed, meanUs, longestUs };
}

async function manyForks(program) {
  const what = `${values.forks} forks a second`;
  const ours = await inPlace(async ({ directory }) => {
    const recorder = await Recorder.up(directory);
    const during = await forksDuring(program, async (crowd) => {
      await recorder.attach(crowd.pid, 'crowd');
      return async () => {
        await sleep(SETTLING_MS);
        return recorder.status();
      };
    });
    await recorder.down();
    return during;
  });
  if (ours.failed > 0) wrong.push(`${what}: ${ours.failed} forks failed`);
  console.log(
    `${what}, ${seconds} s: ${ours.forks} forks, ${ours.failed} failed; ${judge(what, ours.said, ours.forks)}`,
  );
  const alone = await forksDuring(program, () => () => undefined);
  const peer = await forksDuring(program, async ({ pid }) => {
    const perf = perfRecord(program, pid);
    await sleep(1000);
    return async () => {
      perf.child.kill('SIGINT');
      await perf.exited;
    };
  });
  const sides = { ringkeep: ours, 'perf record': peer, 'no recorder': alone };
  for (const [name, { meanUs, longestUs }] of Object.entries(sides)) {
    const longest = `${(longestUs / 1000).toFixed(1)} ms at most`;
    const ratio = `ratio to no recorder ${(meanUs / alone.meanUs).toFixed(2)}`;
    console.log(`  a fork under ${name}: ${meanUs} us in the mean, ${longest}, ${ratio}`);
  }
}

function perfRecord(program, pid, ...command) {
  const output = join(program, '..', 'perf.data');
  const args = ['record', '-q', '-e', 'cpu-clock', '-F', '99', '--switch-events', '-o', output, '-p', String(pid)];
  const child = spawn('perf', [...args, ...command], { stdio: ['ignore', 'inherit', 'inherit'] });
  return { child, exited: keep(child) };
}

async function attaching(program) {
  await inPlace(async ({ directory }) => {
    const crowd = await Crowd.start(program, 'threads', values.attach, 1);
    const recorder = await Recorder.up(directory);
    const ms = [];
    for (let round = 0; round < 5; round++) {
      ms.push(await took(() => recorder.attach(crowd.pid, 'crowd')));
      const { threads } = await recorder.status();
      if (threads <= Number(values.attach)) wrong.push(`attach: of ${values.attach} threads ${threads} are recorded`);
      await recorder.detach('crowd');
    }
    await recorder.down();
    const peerMs = await took(() => perfRecord(program, crowd.pid, '--', 'true').exited);
    const median = ms.toSorted((a, b) => a - b)[ms.length >> 1];
    const each = ms.map((one) => (one / 1000).toFixed(2)).join(', ');
    const ours = `attach to ${values.attach} threads: ${each} s, median ${(median / 1000).toFixed(2)} s`;
    const peer = `perf record -p, begun and ended: ${(peerMs / 1000).toFixed(2)} s`;
    console.log(`${ours}; ${peer}, ratio ${(median / peerMs).toFixed(2)}`);
  });
}

async function took(act) {
  const startedMs = performance.now();
  await act();
  return performance.now() - startedMs;
}

const built = mkdtempSync(join(tmpdir(), 'ringkeep-scale-'));
clearedAtExit(() => rmSync(built, { recursive: true, force: true }));
try {
  const program = join(built, 'crowd');
  const source = new URL('scale/crowd.c', import.meta.url).pathname;
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread', '-o', program, source]);
  await attaching(program);
  await manyForks(program);
  await manyThreads(program);
} finally {
  rmSync(built, { recursive: true, force: true });
}
for (const sentence of wrong) console.log(sentence);
process.exitCode = wrong.length === 0 ? 0 : 1;
