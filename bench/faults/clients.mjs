// Clients that disconnect in the middle of a request, and two that send requests at the same time.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inPlace } from './fault.mjs';
import { losses, missingIn, readRings, readSnapshot } from './kept-records.mjs';
import { grown, Load, Recorder, refusable, settled, usedOnce } from './processes.mjs';

/** Long enough for threads of the load to begin and to exit. */
const SOME_THREADS_MS = 200;

export async function vanishingClients({ program, kills, random, findings, progress }) {
  await inPlace(async ({ directory, place }) => {
    const recorder = await Recorder.up(directory, ['--memory', '256MiB']);
    const load = await Load.start(program, 12, 100, 200);
    const guest = await Load.start(program, 6, 0, 0);
    const output = join(place, 'dropped.data');
    const atStart = await usedOnce(recorder, load, output);
    await recorder.attach(load.pid, 'load');
    const texts = [
      requestText('POST', '/v1/snapshots', { output }),
      requestText('POST', '/v1/attachments', { target: { kind: 'pid', pid: guest.pid }, name: 'guest' }),
      requestText('DELETE', '/v1/attachments/guest'),
      requestText('GET', '/v1/events'),
      requestText('GET', '/metrics'),
    ];
    for (let round = 0; round < kills; round++) {
      const text = random.pick(texts);
      // Half of the requests are cut, at any byte.
      const sent = text.slice(0, random.below(text.length * 2));
      const socket = await recorder.madeConnection();
      socket.write(sent);
      if (random.below(2) === 0) await sleep(random.next() * 20);
      socket.destroy();
      findings.count('clients that vanished');
      progress(round + 1, kills);
    }
    // The last request for the guest may still be served.
    await sleep(500);
    await refusable(recorder.detach('guest'));
    await recorder.detach('load');
    findings.leaks.push(...grown(atStart, await settled(recorder)));
    await findings.end(recorder);
    await load.end();
    await guest.end();
  });
}

function requestText(method, path, body) {
  const text = body === undefined ? '' : JSON.stringify(body);
  const type = body === undefined ? '' : 'content-type: application/json\r\n';
  return `${method} ${path} HTTP/1.1\r\nhost: ringkeep\r\n${type}content-length: ${text.length}\r\n\r\n${text}`;
}

export async function twoClients({ program, kills, findings, progress }) {
  const rounds = Math.max(2, Math.ceil(kills / 20));
  await inPlace(async ({ directory, place }) => {
    const recorder = await Recorder.up(directory, ['--memory', '256MiB']);
    const load = await Load.start(program, 12, 20, 20);
    const guest = await Load.start(program, 30, 0, 0);
    // Without names, which take seconds. Attached anew each round: too few threads exit in one to evict a ring.
    const save = (path) => recorder.snapshot(path, { names: false });
    const atStart = await usedOnce(recorder, load, join(place, 'first.data'));
    for (let round = 0; round < rounds; round++) {
      await recorder.attach(load.pid, 'load');
      await sleep(SOME_THREADS_MS);
      const before = readRings(recorder.report.directory).rings;
      const paths = ['first', 'second', 'third'].map((name) => join(place, `${name}.data`));
      const asked = [
        save(paths[0]),
        recorder.attach(guest.pid, 'guest'),
        save(paths[1]),
        refusable(recorder.attach(guest.pid, 'twin')),
        recorder.events(),
        save(paths[2]),
      ];
      await Promise.all(asked);
      const after = readRings(recorder.report.directory).rings;
      findings.lost.push(...losses(before, after));
      for (const path of paths) {
        const { records, unreadable } = readSnapshot(path);
        findings.count('snapshots read');
        if (unreadable) findings.unreadable.push(unreadable);
        findings.lost.push(...missingIn(records, before, after));
      }
      await Promise.all([recorder.detach('guest'), refusable(recorder.detach('twin')), save(paths[0])]);
      await recorder.detach('load');
      progress(round + 1, rounds);
    }
    const { evictedRings } = (await recorder.status()).stats;
    if (evictedRings > 0)
      findings.broken.push(`${evictedRings} rings of exited threads were evicted: their records cannot be checked`);
    findings.leaks.push(...grown(atStart, await settled(recorder)));
    await findings.end(recorder);
    await load.end();
    await guest.end();
  });
}
