// Damaged files of a recorder: cut, overwritten, replaced by something else, while it is down and while it runs. What
// was damaged may be lost, which is reported; every other ring is kept whole, `up` starts, and every snapshot can be
// read.
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inPlace } from './fault.mjs';
import { checkRecovery, checkSnapshot, countRecords, losses, readRings, ringFiles } from './kept-records.mjs';
import { Load, Recorder } from './processes.mjs';

const OPTIONS = ['--memory', '256MiB'];
const RING_HEADER = [1024, 1400];

/** Overwrites some bytes between two places, as far as the file reaches, without making it longer. */
function scribble(path, random, [from, to]) {
  const end = Math.min(to, statSync(path).size);
  if (from >= end) return;
  const fd = openSync(path, 'r+');
  for (let count = 1 + random.below(8); count > 0; count--) {
    const bytes = Buffer.from(Array.from({ length: 1 + random.below(16) }, () => random.below(256)));
    const at = from + random.below(end - from);
    writeSync(fd, bytes, 0, Math.min(bytes.length, end - at), at);
  }
  closeSync(fd);
}

function replace(path, make) {
  rmSync(path, { recursive: true });
  make(path);
}

/** Of a file of any kind. */
const EVERY_FILE = {
  cut: (path, random) => truncateSync(path, random.below(statSync(path).size + 1)),
  emptied: (path) => truncateSync(path, 0),
  'scribbled on': (path, random) => scribble(path, random, [0, Number.POSITIVE_INFINITY]),
  'made longer': (path) => truncateSync(path, statSync(path).size + 4096),
  'all zeros': (path) => writeFileSync(path, Buffer.alloc(statSync(path).size)),
  'a directory': (path) => replace(path, mkdirSync),
  'a link': (path) =>
    replace(path, (place) => {
      writeFileSync(`${place}.elsewhere`, 'the target of a link must not be changed');
      symlinkSync(`${place}.elsewhere`, place);
    }),
};
const OF_A_RING = {
  ...EVERY_FILE,
  'scribbled on its header': (path, random) => scribble(path, random, RING_HEADER),
  'scribbled on its first page of data': (path, random) => scribble(path, random, [4096, 8192]),
};
const OF_A_JOURNAL = {
  ...EVERY_FILE,
  'scribbled on its header': (path, random) => scribble(path, random, [0, 160]),
  removed: (path) => rmSync(path),
};
const OF_A_SESSION = {
  ...EVERY_FILE,
  removed: (path) => rmSync(path),
  'of another form': (path, random) =>
    writeFileSync(
      path,
      random.pick([
        '{"version":1}',
        '{"version":1,"attachments":[null]}',
        '{"version":1,"attachments":[{"name":"../up","target":{"kind":"pid","pid":1},"attachedWallMs":0}]}',
        '{"version":1,"attachments":[{"name":"load","target":{"kind":"moon"},"attachedWallMs":"x"}]}',
        '[]',
        'null',
      ]),
    ),
};
/** Of a file that is mapped; `cutWhileMapped` cuts one. */
const WHILE_MAPPED = {
  'scribbled on': EVERY_FILE['scribbled on'],
  'scribbled on its header': OF_A_RING['scribbled on its header'],
  'scribbled on its first page of data': OF_A_RING['scribbled on its first page of data'],
  'made longer': EVERY_FILE['made longer'],
};

/** Damages one file of a directory: what was done, and the ids of the rings that it may cost records. */
function damageOne(events, random, kinds) {
  const { rings } = readRings(events);
  const what = random.pick(Object.keys(kinds));
  const names = readdirSync(events);
  const place = {
    ring: () => random.pick([...rings.values()]).path,
    sideBandLog: () => join(events, names.find((name) => name.startsWith('journal-')) ?? 'journal-0'),
    session: () => join(events, 'session.json'),
  }[what]();
  if (!lstatSync(place, { throwIfNoEntry: false })?.isFile()) return undefined;
  const how = random.pick(Object.keys(kinds[what]));
  kinds[what][how](place, random);
  const hurt = [...rings].filter(([, { path }]) => path === place).map(([ringId]) => ringId);
  return { sentence: `${place} ${how}`, place, hurt };
}

export async function damagedFiles(given) {
  const kinds = { ring: OF_A_RING, sideBandLog: OF_A_JOURNAL, session: OF_A_SESSION };
  await inRounds(given, Math.max(3, Math.ceil(given.kills * 0.1)), kinds, damageWhileDown);
}

async function inRounds({ program, random, findings, progress }, rounds, kinds, damage) {
  for (let round = 0; round < rounds; round++) {
    await inPlace(async (parts) => damage({ ...parts, program, random, findings, kinds }));
    progress(round + 1, rounds);
  }
}

async function damageWhileDown({ directory, place, program, random, findings, kinds }) {
  const load = await Load.start(program, 6, 100, 100);
  const first = await Recorder.up(directory, OPTIONS);
  const events = first.report.directory;
  await first.attach(load.pid, 'load');
  await sleep(200 + random.below(200));
  await first.kill();
  const kept = readRings(events).rings;
  const damages = Array.from({ length: 1 + random.below(3) }, () => damageOne(events, random, kinds)).filter(Boolean);
  for (const damage of damages) for (const ringId of damage.hurt) kept.delete(ringId);
  findings.count('files damaged', damages.length);
  findings.count('records held', countRecords(kept));
  const about = new About(findings, damages);
  try {
    await checkRecovery(events, join(place, 'recovered.data'), about, kept);
    const second = await Recorder.up(directory, OPTIONS);
    await checkSnapshot(second, join(place, 'snapshot.data'), about, kept, { except: about.places });
    await sleep(300);
    await checkSnapshot(second, join(place, 'snapshot.data'), about, kept, { except: about.places });
    about.lost.push(...losses(kept, readRings(events).rings));
    await about.end(second, () => true);
    // A file that cannot be a ring is left where it is; all others are removed.
    const left = existsSync(events) ? ringFiles(events).filter((path) => !about.places.has(path)) : [];
    about.leaks.push(...left.map((path) => `left behind by down: ${path}`));
  } catch (error) {
    about.broken.push(String(error.stack));
  }
  await load.end();
}

/** Findings of one damage, each with the damage in its text. */
class About {
  constructor(findings, damages) {
    /** With the targets of links. */
    this.places = new Set(damages.flatMap(({ place }) => [place, `${place}.elsewhere`]));
    const what = damages.map(({ sentence }) => sentence).join('; ');
    for (const kind of ['lost', 'unreadable', 'leaks', 'broken'])
      this[kind] = { push: (...sentences) => findings[kind].push(...sentences.map((each) => `${what}: ${each}`)) };
    this.count = (...counted) => findings.count(...counted);
    this.end = (...ended) =>
      findings.end.apply({ ...findings, count: this.count, leaks: this.leaks, broken: this.broken }, ended);
  }
}

export async function damagedMeanwhile(given) {
  const kinds = { ring: WHILE_MAPPED, sideBandLog: OF_A_JOURNAL, session: OF_A_SESSION };
  await inRounds(given, Math.max(2, Math.ceil(given.kills * 0.05)), kinds, damageWhileUp);
}

async function damageWhileUp({ directory, place, program, random, findings, kinds }) {
  const load = await Load.start(program, 6, 100, 100);
  let recorder = await Recorder.up(directory, OPTIONS);
  const events = recorder.report.directory;
  await recorder.attach(load.pid, 'load');
  await sleep(200);
  const kept = readRings(events).rings;
  const damages = Array.from({ length: 1 + random.below(3) }, () => damageOne(events, random, kinds)).filter(Boolean);
  for (const damage of damages) for (const ringId of damage.hurt) kept.delete(ringId);
  findings.count('files damaged', damages.length);
  findings.count('records held', countRecords(kept));
  const about = new About(findings, damages);
  try {
    await sleep(200);
    await checkSnapshot(recorder, join(place, 'snapshot.data'), about, kept, { except: about.places });
    await recorder.events();
    await recorder.kill();
    recorder = await Recorder.up(directory, OPTIONS);
    await checkSnapshot(recorder, join(place, 'snapshot.data'), about, kept, { except: about.places });
    about.lost.push(...losses(kept, readRings(events).rings));
    await about.end(recorder, () => true);
  } catch (error) {
    about.broken.push(`${error.stack}\n${recorder.log}`);
  }
  await load.end();
}

/**
 * A ring file that is cut while it is mapped ends its recorder by SIGBUS at the next store (mmap(2)). Only its own user
 * can cut it. The next recorder adopts all other rings.
 */
export async function cutWhileMapped({ program, kills, random, findings }) {
  const rounds = Math.ceil(kills / 100);
  for (let round = 0; round < rounds; round++) {
    await inPlace(async ({ directory, place }) => {
      const load = await Load.start(program, 6, 100, 100);
      const first = await Recorder.up(directory, OPTIONS);
      const events = first.report.directory;
      await first.attach(load.pid, 'load');
      await sleep(300);
      const { rings } = readRings(events);
      // A busy one, to which the recorder stores soon.
      const [ringId, { path }] = [...rings].toSorted(([, a], [, b]) => b.records.length - a.records.length)[0];
      truncateSync(path, random.below(2) * 4096);
      rings.delete(ringId);
      findings.count('rings cut');
      const { signal } = await Promise.race([first.exited, sleep(5000, {})]);
      if (signal === 'SIGBUS') findings.count('recorders that ended by SIGBUS');
      else await first.kill();
      // It wrote other rings until then.
      const left = readRings(events).rings;
      left.delete(ringId);
      findings.lost.push(...losses(rings, left));
      await checkRecovery(events, join(place, 'recovered.data'), findings, left);
      const second = await Recorder.up(directory, OPTIONS);
      await checkSnapshot(second, join(place, 'snapshot.data'), findings, left, { except: new Set([path]) });
      await findings.end(second, () => true);
      await load.end();
    });
  }
}
