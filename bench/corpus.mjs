// Captures that other tools made (../shared/captures): every reading command over every file, compared with what
// `perf script` gives where perf reads the file, and with the record counts in the README.md beside the captures.
//
//     npm run build && npm run corpus
//
// One line a disagreement; the last line is `N passed, N failed, N skipped` of the files. A file of the table that is
// absent is skipped by name, and so is the comparison with perf of a file that the installed perf refuses.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';

const RINGKEEP = resolve(import.meta.dirname, '../dist/bin/main.js');
const CORPUS = resolve(import.meta.dirname, '../../shared/captures');
const SHOW_FORMS = [[], ['--all'], ['--tree'], ['--tree', '--all'], ['--json'], ['--json', '--tree']];
/** A capture of a few hundred KB takes under a second. */
const PATIENCE_MS = 60_000;
const BUFFER = { maxBuffer: 1 << 30, encoding: 'utf8' };

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-corpus-'));

function run(faults, ...args) {
  const done = spawnSync('node', [RINGKEEP, ...args], { ...BUFFER, timeout: PATIENCE_MS });
  const what = args.filter((arg) => !arg.includes('/')).join(' ');
  if (done.error) faults.push(`${what}: ${done.error.message}`);
  if (/^\s+at .*:\d+:\d+\)?$/m.test(done.stderr)) faults.push(`${what}: a stack trace: ${done.stderr.slice(0, 200)}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(done.stdout)) faults.push(`${what}: control characters in the text`);
  return { ...done, what };
}

/** Runs a command that must succeed; its standard output. */
function output(faults, ...args) {
  const { status, stdout, stderr, what } = run(faults, ...args);
  if (status !== 0) faults.push(`${what}: status ${status}: ${stderr.trim()}`);
  return stdout;
}

function expectEqual(faults, what, found, expected) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) faults.push(`${what}: ${a}, expected ${b}`);
}

/** The files of the README's table, with the records that each holds by type. */
function table() {
  const rows = readFileSync(join(CORPUS, 'README.md'), 'utf8').matchAll(/^\| (\S+) \|.*\| ([^|]*) \|$/gm);
  return [...rows].flatMap(([, file, found]) => {
    const samples = /^(\d+) samples/.exec(found)?.[1];
    const counts = [...found.matchAll(/(\w+)=(\d+)/g)].map(([, name, count]) => [name, Number(count)]);
    if (samples === undefined && counts.length === 0) return [];
    return [{ file, counts: samples === undefined ? Object.fromEntries(counts) : { SAMPLE: Number(samples) } }];
  });
}

/** What `perf script` prints of a file, one entry a line; undefined where it does not read the file to its end. */
function perfScript(path) {
  const shown = ['--show-switch-events', '--show-task-events', '--show-lost-events', '--no-itrace', '--ns'];
  const args = ['script', ...shown, '-F', 'pid,tid,time,event', '-i', path];
  const done = spawnSync('perf', args, { ...BUFFER, timeout: PATIENCE_MS });
  if (done.error || done.status !== 0 || /failed to process|bad event header/.test(done.stderr)) return undefined;
  return [...done.stdout.matchAll(/^\s*(-?\d+)\/(-?\d+)\s+(\d+)\.(\d{9}):\s+(.*)$/gm)].map(
    ([, pid, tid, seconds, ns, event]) => ({
      pid: Number(pid),
      tid: Number(tid),
      timeNs: BigInt(seconds) * 1_000_000_000n + BigInt(ns),
      event,
    }),
  );
}

/** Samples, threads and times of `show --json` against perf's lines. */
function compareWithPerf(faults, report, lines) {
  const samples = new Map();
  for (const { tid, event } of lines) {
    if (!event.startsWith('PERF_RECORD')) samples.set(tid, (samples.get(tid) ?? 0) + 1);
  }
  expectEqual(
    faults,
    'samples of all threads',
    report.totals.samples,
    [...samples.values()].reduce((a, b) => a + b, 0),
  );
  for (const { tid, samples: found } of report.threads) {
    expectEqual(faults, `samples of thread ${tid}`, found, samples.get(tid) ?? 0);
    samples.delete(tid);
  }
  samples.delete(0);
  expectEqual(faults, 'threads with samples that have no row', [...samples.keys()], []);
  // perf script prints LOST, not LOST_SAMPLES: those are compared with the table.
  const lost = lines.filter(({ event }) => /^PERF_RECORD_LOST\b/.test(event)).length;
  if (lost === 0) expectEqual(faults, 'lost records', report.losses.lostRecords, 0);
  else if (report.losses.lostRecords < lost) faults.push(`${lost} LOST records, ${report.losses.lostRecords} lost`);
  // perf lists the records that it makes up of the header at time 0.
  const times = lines.map(({ timeNs }) => timeNs).filter((timeNs) => timeNs > 0n);
  const last = times.reduce((a, b) => (a > b ? a : b), 0n);
  expectEqual(faults, 'the time of the last record', report.lastNs, String(last));
  if (BigInt(report.firstNs) > times.reduce((a, b) => (a < b ? a : b), last)) faults.push('records before the first');
  for (const thread of report.threads) compareTimes(faults, thread, lines, BigInt(report.endNs));
}

/** Off-CPU time is OUT to IN, and to the end of the thread or of the capture. */
function compareTimes(faults, { tid, offCpuNs, onCpuNs, switchesIn, switchesOut }, lines, endNs) {
  const own = lines.filter((line) => line.tid === tid);
  const switches = own.filter(({ event }) => event.startsWith('PERF_RECORD_SWITCH'));
  if (switches.length === 0) return;
  const isIn = ({ event }) => / IN\b/.test(event);
  expectEqual(faults, `switches in of thread ${tid}`, switchesIn, switches.filter(isIn).length);
  expectEqual(faults, `switches out of thread ${tid}`, switchesOut, switches.filter((line) => !isIn(line)).length);
  // A thread is switched some more after its EXIT record.
  const hasExited = own.some(({ event }) => event.startsWith('PERF_RECORD_EXIT'));
  const lastNs = hasExited ? own.at(-1).timeNs : endNs;
  const times = { on: 0n, off: 0n };
  switches.forEach((line, i) => {
    times[isIn(line) ? 'on' : 'off'] += (switches[i + 1]?.timeNs ?? lastNs) - line.timeNs;
  });
  expectEqual(faults, `off-CPU time of thread ${tid}`, offCpuNs, Number(times.off));
  if (isIn(switches[0])) expectEqual(faults, `on-CPU time of thread ${tid}`, onCpuNs, Number(times.on));
  else if (onCpuNs !== null && onCpuNs < Number(times.on)) faults.push(`on-CPU time of thread ${tid}: ${onCpuNs}`);
}

/** How many samples an exported file holds; undefined for a format that is only looked at for its size. */
function exportedSamples(format, bytes) {
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  switch (format) {
    case 'pprof':
      return sum(Profile.decode(gunzipSync(bytes)).sample.map(({ value }) => Number(value[0])));
    case 'collapsed':
      return sum([...bytes.toString().matchAll(/ (\d+)$/gm)].map(([, count]) => Number(count)));
    case 'speedscope':
      return sum(JSON.parse(bytes).profiles.map(({ samples }) => samples.length));
    case 'firefox':
      return sum(JSON.parse(bytes).threads.map(({ samples }) => samples.length));
    default:
      return undefined;
  }
}

function checkFile({ file, counts }) {
  const faults = [];
  const path = join(CORPUS, file);
  const texts = SHOW_FORMS.map((form) => output(faults, 'show', ...form, path));
  const report = JSON.parse(texts[4] || 'null');
  if (report === null) return { faults, withPerf: false };
  expectEqual(faults, 'show --json --tree without its trees', { ...JSON.parse(texts[5]), trees: undefined }, report);
  expectEqual(faults, 'samples', report.totals.samples, counts.SAMPLE ?? 0);
  const isLossy = (counts.LOST_SAMPLES ?? 0) + (counts.LOST ?? 0) > 0;
  if (isLossy && texts[0].includes('nothing lost')) faults.push('"nothing lost" of a capture with LOST records');
  expectEqual(faults, 'whether samples were lost', report.losses.lostSamples > 0, (counts.LOST_SAMPLES ?? 0) > 0);
  if ('SWITCH' in counts)
    expectEqual(faults, 'switches', report.totals.switchesIn + report.totals.switchesOut, counts.SWITCH);
  for (const format of ['perfetto', 'pprof', 'speedscope', 'firefox', 'collapsed']) {
    const exported = join(directory, format);
    rmSync(exported, { force: true });
    output(faults, 'export', path, '--to', format, '-o', exported);
    const bytes = existsSync(exported) ? readFileSync(exported) : Buffer.alloc(0);
    if (bytes.length === 0) faults.push(`export --to ${format}: nothing was written`);
    else expectEqual(faults, `samples in ${format}`, exportedSamples(format, bytes) ?? counts.SAMPLE, counts.SAMPLE);
  }
  checkPlan(faults, path, report);
  const lines = perfScript(path);
  if (lines) compareWithPerf(faults, report, lines);
  return { faults, withPerf: lines !== undefined };
}

/** `plan` replays switches that have a CPU; it refuses what has none in one sentence of cause and one of remedy. */
function checkPlan(faults, path, report) {
  const { status, stdout, stderr, what } = run(faults, 'plan', '--json', path);
  if (status === 0) {
    JSON.parse(stdout);
    if (report.totals.switchesOut === 0) faults.push(`${what}: planned without switches`);
  } else if (status !== 1 || !/no switches|carry no CPU/.test(stderr)) {
    faults.push(`${what}: status ${status}: ${stderr.trim()}`);
  } else if (/no switches/.test(stderr) !== (report.totals.switchesOut === 0)) {
    faults.push(`${what}: ${stderr.trim()}, but show has ${report.totals.switchesOut} switches`);
  }
}

const totals = { passed: 0, failed: 0, skipped: 0 };
if (!existsSync(CORPUS)) {
  console.log('skipped: ../shared/captures is absent');
  totals.skipped++;
} else {
  for (const row of table()) {
    if (!existsSync(join(CORPUS, row.file))) {
      console.log(`skipped  ${row.file}: absent`);
      totals.skipped++;
      continue;
    }
    let result;
    try {
      result = checkFile(row);
    } catch (error) {
      result = { faults: [String(error)], withPerf: false };
    }
    const { faults, withPerf } = result;
    console.log(
      `${faults.length > 0 ? 'FAILED ' : 'passed '}  ${row.file}${withPerf ? '' : ' (not compared with perf, which does not read it)'}`,
    );
    for (const fault of faults) console.log(`         ${fault}`);
    totals[faults.length > 0 ? 'failed' : 'passed']++;
  }
}
rmSync(directory, { recursive: true, force: true });
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed > 0 ? 1 : 0;
