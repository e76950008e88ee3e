// The cost of exporting a large snapshot to each format: 1,000 threads and a million records by default.
//
//     npm run bench:export [-- --threads 1000 --records 1000000]
//
// The snapshot is synthetic, written by the snapshot writer: each thread is switched in, sampled twice on stacks of
// eight frames out of a few hundred, and switched out. Printed for each format: seconds, seconds of CPU time and peak
// resident memory of the process `ringkeep export`, and the size of the file it wrote.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { attrFlags, ClockId, EventType, eventAttr, SampleType } from '../dist/abi/event-attr.js';
import { encodeRecord } from '../dist/abi/record.js';
import { Misc } from '../dist/abi/record-table.js';
import { Context, encodeSample } from '../dist/abi/sample.js';
import { readHost, writeSnapshot } from '../dist/snapshot/snapshot.js';
import { within } from './deadline.mjs';

const { values } = parseArgs({
  options: { threads: { type: 'string', default: '1000' }, records: { type: 'string', default: '1000000' } },
});
const threads = Number(values.threads);
const records = Number(values.records);
const START_NS = 1_000_000_000_000n;
const PID = 10_000;
const CODE = { addr: 0x400000n, len: 0x100000n, pgoff: 0n, filename: '/usr/bin/worker' };

const { identifier, ip, tid, time, cpu, period, callchain } = SampleType;
const event = {
  name: 'cpu-clock',
  ids: [11n],
  attr: eventAttr({
    type: EventType.software,
    config: 0n,
    samplePeriodOrFreq: 99n,
    sampleType: identifier | ip | tid | time | cpu | period | callchain,
    flags: attrFlags('excludeKernel', 'freq', 'task', 'comm', 'mmap2', 'sampleIdAll', 'useClockid', 'contextSwitch'),
    clockid: ClockId.monotonic,
  }),
};

/** One of a few hundred stacks: callers are shared, as they are in programs. */
function stack(seed) {
  const frames = Array.from({ length: 8 }, (_, depth) => CODE.addr + BigInt(((seed % (8 - depth)) + 8 * depth) * 64));
  return BigUint64Array.from([Context.user, ...frames]);
}

const stacks = Array.from({ length: 840 }, (_, seed) => stack(seed));

/** The turns of one thread on a CPU. */
function turns(thread) {
  const task = { pid: PID, tid: PID + thread, id: 11n, cpu: thread % 2 };
  const out = [];
  const count = Math.floor(records / threads / 4);
  for (let turn = 0; turn < count; turn++) {
    const at = START_NS + BigInt(turn * threads + thread) * 20_000n;
    const sample = (offset, seed) => {
      const chain = stacks[seed % stacks.length];
      const body = { ip: chain[1], period: 5_000n, callchain: chain };
      return encodeSample({ ...task, time: at + offset }, body, event.attr);
    };
    out.push(encodeRecord('SWITCH', {}, { ...task, time: at }, event.attr));
    out.push(sample(5_000n, turn + thread), sample(10_000n, turn * 7 + thread));
    const preempted = turn % 3 === 0 ? Misc.switchOutPreempt : 0;
    out.push(encodeRecord('SWITCH', {}, { ...task, time: at + 15_000n }, event.attr, Misc.switchOut | preempted));
  }
  return out;
}

function writeSynthetic(path) {
  const main = { pid: PID, tid: PID, id: 11n, cpu: 0, time: START_NS };
  const mapping = encodeRecord(
    'MMAP2',
    { pid: PID, tid: PID, prot: 5, flags: 2, ...CODE },
    main,
    event.attr,
    Misc.user,
  );
  const tasks = Array.from({ length: threads }, (_, thread) => ({
    pid: PID,
    tid: PID + thread,
    comm: `worker-${thread}`,
    alive: true,
    records: turns(thread),
    lost: 0,
    pendingLost: 0,
    overwritten: 0,
    leftOutBytes: 0,
  }));
  return writeSnapshot(path, {
    events: [event],
    tasks,
    sideBandLog: [mapping],
    cutNs: START_NS + 3_600_000_000_000n,
    host: readHost('ringkeep'),
    commandLine: ['ringkeep', 'record', '--', 'worker'],
    clock: { clockid: ClockId.monotonic, wallNs: 1_790_000_000_000_000_000n, clockNs: START_NS },
    section: { source: 'perf', reason: 'request', death: null, degraded: [], kernelLost: 0 },
  });
}

/** Clock ticks a second in /proc (USER_HZ). */
const TICKS = 100;

/** Runs a program to its end; its seconds, and the most memory and CPU time that it was seen to have taken. */
async function measured(program, args) {
  const begunMs = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  let peakKib = 0;
  let cpuTicks = 0;
  const look = setInterval(() => {
    try {
      const peak = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
      if (peak) peakKib = Math.max(peakKib, Number(peak[1]));
      const [utime, stime] = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13);
      cpuTicks = Math.max(cpuTicks, Number(utime) + Number(stime));
    } catch (error) {
      // ENOENT, ESRCH: it has exited.
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
    }
  }, 20);
  const status = await within(child, 'exit', `${program} ${args.join(' ')}`, 600_000);
  clearInterval(look);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ends with ${status}`);
  return { seconds: (performance.now() - begunMs) / 1000, cpuSeconds: cpuTicks / TICKS, peakMib: peakKib / 1024 };
}

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-bench-'));
try {
  const snapshot = join(directory, 'perf.data');
  const written = writeSynthetic(snapshot);
  console.log(`${written.records} records of ${written.tasks} threads, ${(written.bytes / 2 ** 20).toFixed(0)} MiB`);
  const main = join(import.meta.dirname, '..', 'dist', 'bin', 'main.js');
  for (const format of ['perfetto', 'pprof', 'speedscope', 'firefox', 'collapsed']) {
    const output = join(directory, format);
    const args = [main, 'export', snapshot, '--to', format, '-o', output];
    const { seconds, cpuSeconds, peakMib } = await measured(process.execPath, args);
    const mib = statSync(output).size / 2 ** 20;
    console.log(
      `${format.padEnd(11)}${seconds.toFixed(1).padStart(6)} s, ${cpuSeconds.toFixed(1).padStart(4)} s of CPU time, ` +
        `${peakMib.toFixed(0).padStart(4)} MiB peak, ${mib.toFixed(1)} MiB written`,
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}
