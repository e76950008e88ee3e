// The speed of the simulated machine: a schedule of 64 CPUs and 10,000 tasks is generated and replayed through the
// protocol.
//
//     npm run bench:simulated-switches [-- --cpus 64 --tasks 10000 --length-s 4]
//
// Printed: switches a minute, generation and replay together, with one slot a CPU and with eight, and of the policy
// without a protocol. One thread; the machine is simulated, the rate is measured.
import { parseArgs } from 'node:util';
import {
  CostModel,
  corrected,
  generateWorkload,
  posted,
  SAMPLE_RECORD_BYTES,
  simulate,
} from '../dist/sim/capacity/index.js';

const { values } = parseArgs({
  options: {
    cpus: { type: 'string', default: '64' },
    tasks: { type: 'string', default: '10000' },
    'length-s': { type: 'string', default: '4' },
  },
});
const cpus = Number(values.cpus);
const tasks = Number(values.tasks);
const RING_PAGES = 17;

const begunMs = performance.now();
const schedule = generateWorkload({
  cpus,
  tasks,
  switchesPerCpuS: 2000,
  lengthNs: Number(values['length-s']) * 1e9,
  utilisation: 0.5,
  zipfExponent: 1,
  exitsPerS: 10,
  recording: { sampleHz: 99, sampleBytes: SAMPLE_RECORD_BYTES },
  seed: 1,
});
const generatedMs = performance.now() - begunMs;
console.log(
  `${schedule.switchIns} switches on ${cpus} CPUs among ${tasks} tasks, generated in ${Math.round(generatedMs)} ms`,
);

const setting = {
  cpus,
  tasks: schedule.tasks,
  eventsPerTask: 1,
  pagesPerRing: RING_PAGES,
  headerPages: 1,
  lockLimitPages: Number.POSITIVE_INFINITY,
  memoryPages: Number.POSITIVE_INFINITY,
  costs: new CostModel(RING_PAGES),
};
for (const policy of [
  posted,
  corrected(1, 'whole'),
  corrected(8, 'whole'),
  corrected(1, 'window'),
  corrected(8, 'window'),
]) {
  const startMs = performance.now();
  const result = simulate(schedule, setting, policy);
  const ms = performance.now() - startMs + generatedMs;
  const rate = (schedule.switchIns / ms) * 60_000;
  console.log(`${result.policy.padEnd(18)} ${(rate / 1e6).toFixed(1).padStart(6)} million switches a minute`);
}
