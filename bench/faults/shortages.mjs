// Shortages: the file system of the rings is full, descriptors run out. No committed record is lost, what cannot be
// recorded is counted, the recorded program runs on, and recording resumes when there is room again.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inPlace } from './fault.mjs';
import { checkSnapshot, countRecords, disorders, losses, readRings } from './kept-records.mjs';
import { clearedAtExit, endAll, grown, Load, Recorder, refusable, settled, until, usedOnce } from './processes.mjs';

/** Size of the file system of the rings; `--memory` must be less, or the rings are placed elsewhere. */
const ROOM = '3m';
const MEMORY = ['--memory', '2MiB'];

/** A tmpfs for the rings, filled to the last page by another file. */
export async function fullMemory({ program, kills, findings }) {
  if (process.geteuid() !== 0) {
    findings.skipped = 'only root may mount a file system to fill';
    return;
  }
  const place = mkdtempSync(join(tmpdir(), 'ringkeep-faults-'));
  const directory = join(place, 'recorder');
  const clear = () => {
    spawnSync('umount', ['-l', directory], { stdio: 'ignore' });
    rmSync(place, { recursive: true, force: true });
  };
  const isCleared = clearedAtExit(clear);
  try {
    execFileSync('mkdir', ['-m', '700', directory]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${ROOM},mode=0700`, 'ringkeep-faults', directory]);
    const rounds = Math.ceil(kills / 100);
    for (let round = 0; round < rounds; round++) await fillOnce({ program, findings, place, directory, round });
  } finally {
    await endAll();
    clear();
    isCleared();
  }
}

async function fillOnce({ program, findings, place, directory, round }) {
  const snapshot = join(place, 'snapshot.data');
  const load = await Load.start(program, 12, 100, 200);
  let recorder = await Recorder.up(directory, MEMORY);
  const events = recorder.report.directory;
  await recorder.attach(load.pid, 'load');
  await sleep(300);
  fill(join(directory, 'filler'));
  findings.count('times full');
  const atFull = readRings(events).rings;

  const guest = await Load.start(program, 20, 20, 20);
  await refusable(recorder.attach(guest.pid, 'guest'));
  await sleep(500);
  await load.requireProgress();
  await guest.requireProgress();
  const { stats } = await recorder.status();
  if (stats.unrecordedTasks + stats.lost === 0)
    findings.broken.push('nothing was counted as unrecorded while there was no room');
  findings.count('tasks counted as unrecorded', stats.unrecordedTasks);
  await checkSnapshot(recorder, snapshot, findings, atFull, { mayGo });

  // Killed while it is full, started while it is full, then with room again.
  if (round % 2 === 0) {
    await recorder.kill();
    const left = readRings(events);
    findings.lost.push(...losses(atFull, left.rings, mayGo), ...disorders(left.rings, 2));
    recorder = await Recorder.up(directory, MEMORY);
    findings.count('kills while full');
    findings.count('records held', countRecords(left.rings));
    await checkSnapshot(recorder, snapshot, findings, left.rings, { mayGo });
  }
  rmSync(join(directory, 'filler'));
  await refusable(recorder.detach('guest'));
  await recorder.attach(guest.pid, 'again');
  await until('there were events again', async () =>
    (await recorder.events()).some(({ attachment, alive, records }) => attachment === 'again' && alive && records > 2),
  );
  await checkSnapshot(recorder, snapshot, findings, new Map(), { mayGo });
  await findings.end(recorder);
  await guest.end();
  await load.end();
}

/** Where there is no room, rings of exited threads are evicted, the oldest first. */
function mayGo({ header }) {
  return !existsSync(`/proc/${header.pid}/task/${header.tid}`);
}

/** Writes until ENOSPC. */
function fill(path) {
  const fd = openSync(path, 'w');
  const page = Buffer.alloc(4096);
  try {
    for (;;) writeSync(fd, page);
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}

/** Threads of the program for which there are too few descriptors. */
const LARGE = 60;

/** Fewer descriptors than threads to attach to, then none left for clients. */
export async function noDescriptors({ program, kills, findings }) {
  const rounds = Math.ceil(kills / 100);
  await inPlace(async ({ directory, place }) => {
    for (let round = 0; round < rounds; round++) {
      const recorder = await Recorder.up(directory, ['--memory', '256MiB'], '-n 96');
      const load = await Load.start(program, 6, 100, 100);
      const large = await Load.start(program, LARGE, 0, 0);
      const atStart = await usedOnce(recorder, load, join(place, 'snapshot.data'));
      await recorder.attach(load.pid, 'load');
      const code = await refusable(recorder.attach(large.pid, 'large'));
      const { attachments } = await recorder.status();
      const { threads = 0, unrecorded = 0 } = attachments.find(({ name }) => name === 'large') ?? {};
      // System-wide events need no descriptor per thread.
      if (!code && threads + unrecorded < LARGE)
        findings.broken.push(`of ${LARGE} threads ${threads} are recorded and ${unrecorded} counted as unrecorded`);
      findings.count('threads refused without descriptors', code ? LARGE : unrecorded);
      findings.count('threads recorded', threads);
      await refusable(recorder.snapshot(join(place, 'snapshot.data')));
      const clients = Array.from({ length: 100 }, () => recorder.rawConnection());
      await sleep(300);
      const kept = readRings(recorder.report.directory).rings;
      await sleep(300);
      for (const client of clients) client.destroy();
      findings.count('connections at once', clients.length);
      findings.lost.push(...losses(kept, readRings(recorder.report.directory).rings));
      if (!code) await recorder.detach('large');
      await checkSnapshot(recorder, join(place, 'snapshot.data'), findings);
      await load.requireProgress();
      await large.requireProgress();
      await recorder.detach('load');
      findings.leaks.push(...grown(atStart, await settled(recorder)));
      await findings.end(recorder);
      await load.end();
      await large.end();
    }
  });
}
