// SIGKILL of the recorded program at random moments: its rings stay whole until they are removed; each death fires a
// trigger.
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inPlace } from './fault.mjs';
import { checkSnapshot, countRecords, disorders, losses, readRings, readSnapshot, ringFiles } from './kept-records.mjs';
import { grown, Load, Recorder, settled, until } from './processes.mjs';

const SHARE_OF_KILLS = 0.1;
const LONGEST_LIFE_MS = 300;

export async function killedTargets({ program, kills, random, findings, progress }) {
  const rounds = Math.ceil(kills * SHARE_OF_KILLS);
  await inPlace(async ({ directory, place }) => {
    const recorder = await Recorder.up(directory, ['--memory', '256MiB']);
    const snapshots = join(place, 'snapshots');
    mkdirSync(snapshots, { mode: 0o700 });
    const options = { directory: snapshots, keep: 1000, atMost: { count: 1000, perMs: 1000 } };
    await recorder.ask('POST', '/v1/triggers', { on: 'exit-signal:KILL', options });
    let atStart;
    for (let round = 0; round < rounds; round++) {
      const load = await Load.start(program, 12, 20, 20);
      await recorder.attach(load.pid, 'load');
      await sleep(random.next() * LONGEST_LIFE_MS);
      const before = readRings(recorder.report.directory).rings;
      await load.kill();
      findings.count('kills');
      let living = [];
      await until(
        () =>
          `all its threads were known to have exited: ${living.map(({ tid, comm }) => `${tid} ${comm}`).join(', ')}`,
        async () => {
          living = (await recorder.events()).filter(({ alive }) => alive);
          return living.length === 0;
        },
      );
      await until('its death had fired', async () => readdirSync(snapshots).length > round);
      const after = readRings(recorder.report.directory);
      findings.count('records held', countRecords(after.rings));
      findings.lost.push(...losses(before, after.rings), ...disorders(after.rings, 1));
      findings.unreadable.push(...after.unreadable.map(({ path, why }) => `${path}: ${why}`));
      await checkSnapshot(recorder, join(place, 'snapshot.data'), findings, after.rings);
      await recorder.detach('load');
      const left = ringFiles(recorder.report.directory);
      if (left.length > 0) findings.leaks.push(`left behind by detach: ${left[0]}`);
      atStart ??= await settled(recorder);
      progress(round + 1, rounds);
    }
    findings.leaks.push(...grown(atStart, await settled(recorder)));
    const names = readdirSync(snapshots);
    if (names.length !== rounds) findings.broken.push(`${rounds} deaths, ${names.length} snapshots`);
    for (const name of names) {
      const { unreadable } = readSnapshot(join(snapshots, name));
      findings.count("triggers' snapshots read");
      if (unreadable) findings.unreadable.push(unreadable);
    }
    await findings.end(recorder);
  });
}
