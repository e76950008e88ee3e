// A detached recorder for an hour under a mixed load: whether any of its figures grows, and whether it loses anything.
//
//     npm run soak [-- --minutes 60]
//
// The load: a program with threads that nap, two that exchange bytes, short-lived threads and children; a second
// program that is attached to and detached from, and one of whose event files is removed; snapshots; lists. The
// recorder's figures are read every second; printed are their means over the middle and over the last third of the
// time. Status 1 unless the last is within the margin of the middle one for every figure, and nothing was lost. Needs
// perf events and gcc.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { inPlace } from './faults/fault.mjs';
import { readSnapshot } from './faults/kept-records.mjs';
import { buildLoad, clearedAtExit, Load, Recorder, refusable } from './faults/processes.mjs';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '60' } } });
const minutes = Number(values.minutes);
/** The rings of exited threads reach --keep-dead within the first third of two minutes, and stay there. */
const OPTIONS = ['--memory', '256MiB', '--keep-dead', '2MiB'];
/** About 20,000 records a second in all: a recorder keeps up with these also on a machine under load. */
const CHATTER_PAUSE_MS = 20;
const SNAPSHOT_EVERY_S = 5;
const GUEST_EVERY_S = 7;

/**
 * The figures, their units, and the margin of the last third over the middle one: a share of the figure, or the slack.
 * Memory has a wide one: V8 decides when to collect garbage.
 */
const FIGURES = {
  rss: { unit: 'MiB', share: 0.1, slack: 8 },
  heap: { unit: 'MiB', share: 0.15, slack: 6 },
  descriptors: { unit: '', share: 0.05, slack: 3 },
  locked: { unit: 'KiB', share: 0.1, slack: 512 },
  rings: { unit: 'KiB', share: 0.05, slack: 256 },
  files: { unit: '', share: 0.1, slack: 20 },
  mappings: { unit: '', share: 0.05, slack: 20 },
};

function figuresOf(recorder, status) {
  const text = readFileSync(`/proc/${recorder.pid}/status`, 'latin1');
  const kibibytes = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
  const maps = readFileSync(`/proc/${recorder.pid}/maps`, 'latin1').trimEnd().split('\n');
  return {
    rss: kibibytes('VmRSS') / 1024,
    // Without the rings, which are in tmpfs.
    heap: kibibytes('RssAnon') / 1024,
    descriptors: readdirSync(`/proc/${recorder.pid}/fd`).length,
    locked: kibibytes('VmLck'),
    rings: status.stats.ringBytes / 1024,
    files: filesIn(recorder.report.directory),
    mappings: maps.length,
  };
}

function filesIn(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length;
}

/** One second's requests to the recorder. */
async function ask(second, { recorder, guest, place, tally }) {
  if (second % SNAPSHOT_EVERY_S === 0) {
    const path = join(place, 'soak.data');
    await recorder.snapshot(path);
    const { unreadable } = readSnapshot(path);
    rmSync(path);
    tally.snapshots++;
    if (unreadable) tally.wrong.push(unreadable);
  }
  if (second % GUEST_EVERY_S === 1) {
    await recorder.attach(guest.pid, 'guest');
    tally.attachments++;
  }
  if (second % GUEST_EVERY_S === 3) {
    const events = (await recorder.events()).filter(
      ({ attachment, tid }) => attachment === 'guest' && tid !== guest.pid,
    );
    await recorder.ask('DELETE', `/v1/events/${encodeURIComponent(events[0].path)}`);
    tally.removed++;
  }
  if (second % GUEST_EVERY_S === 5) {
    const code = await refusable(recorder.detach('guest'));
    if (code && code !== 'no-such-event') tally.wrong.push(`detach: ${code}`);
  }
}

function mean(samples, key, from, to) {
  const part = samples.slice(Math.floor(samples.length * from), Math.floor(samples.length * to));
  return part.reduce((sum, sample) => sum + sample[key], 0) / part.length;
}

/** Prints the table. False: something grew. */
function compare(samples) {
  let isFlat = true;
  const heads = ['first'.padStart(10), 'middle third'.padStart(16), 'last third'.padStart(14), 'most'.padStart(10)];
  console.log(`${'figure'.padEnd(16)}${heads.join('')}`);
  for (const [key, { unit, share, slack }] of Object.entries(FIGURES)) {
    const [middle, last] = [mean(samples, key, 1 / 3, 2 / 3), mean(samples, key, 2 / 3, 1)];
    const most = Math.max(...samples.map((sample) => sample[key]));
    const grew = last > middle + Math.max(middle * share, slack);
    if (grew) isFlat = false;
    const [first, second, third, fourth] = [samples[0][key], middle, last, most].map((value) => value.toFixed(1));
    const name = unit ? `${key}, ${unit}` : key;
    const columns = [first.padStart(10), second.padStart(16), third.padStart(14), fourth.padStart(10)];
    console.log(`${name.padEnd(16)}${columns.join('')}${grew ? '  grew' : ''}`);
  }
  return isFlat;
}

const built = mkdtempSync(join(tmpdir(), 'ringkeep-soak-'));
clearedAtExit(() => rmSync(built, { recursive: true, force: true }));
try {
  const program = buildLoad(built);
  await inPlace(async ({ directory, place }) => {
    const recorder = await Recorder.up(directory, OPTIONS);
    const load = await Load.start(program, 16, 20, 50, CHATTER_PAUSE_MS);
    const guest = await Load.start(program, 8, 0, 100, CHATTER_PAUSE_MS);
    await recorder.attach(load.pid, 'load');
    const tally = { snapshots: 0, attachments: 0, removed: 0, wrong: [] };
    const samples = [];
    const startedMs = performance.now();
    let second = 0;
    while (performance.now() - startedMs < minutes * 60_000) {
      await ask(second++, { recorder, guest, place, tally });
      samples.push(figuresOf(recorder, await recorder.status()));
      if (process.stderr.isTTY) process.stderr.write(`\r${second} s`);
      await sleep(Math.max(0, startedMs + second * 1000 - performance.now()));
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    await load.requireProgress();
    const { stats, recorderCpuSeconds } = await recorder.status();
    const { left, ending } = await recorder.down();
    if (ending) tally.wrong.push(ending);
    tally.wrong.push(...left.map((path) => `left behind by down: ${path}`));
    const seconds = (performance.now() - startedMs) / 1000;
    const lost = `${stats.lost} lost (${stats.kernelLost} by the kernel), ${stats.unrecordedTasks} tasks unrecorded`;
    const evicted = `${stats.evictedRings} rings of exited threads evicted`;
    const asked = `${tally.snapshots} snapshots, ${tally.attachments} attachments, ${tally.removed} events removed`;
    const share = `${((100 * recorderCpuSeconds) / seconds).toFixed(1)} % of a CPU`;
    console.log(`${Math.round(seconds)} s: ${stats.records} records of ${stats.tasks} tasks, ${lost}, ${evicted};`);
    console.log(`  ${asked}; ${share}`);
    const isFlat = compare(samples);
    for (const sentence of tally.wrong.slice(0, 10)) console.log(`  ${sentence}`);
    const isWhole = stats.lost === 0 && stats.unrecordedTasks === 0;
    const verdict = `${isFlat ? 'flat' : 'not flat'}, ${isWhole ? 'nothing lost' : 'records or tasks lost'}`;
    console.log(`${verdict}, ${tally.wrong.length} otherwise wrong`);
    process.exitCode = isFlat && isWhole && tally.wrong.length === 0 ? 0 : 1;
  });
} finally {
  rmSync(built, { recursive: true, force: true });
}
