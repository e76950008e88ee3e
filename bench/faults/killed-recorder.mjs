// SIGKILL of the recorder at random moments under load; the next one adopts its rings.
//
// A round: up (adopts) → SIGKILL at a random moment, of the start, of recording or of a request → read every ring file
// → compare it with the round before → now and then `ringkeep recover`. A snapshot between two kills must have all
// records.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inPlace } from './fault.mjs';
import {
  checkRecovery,
  checkSnapshot,
  countRecords,
  disorders,
  losses,
  readRings,
  ringFiles,
} from './kept-records.mjs';
import { Load, Recorder } from './processes.mjs';

/** After so many kills a recorder is ended in order, and a new directory begins. */
const ROUNDS_OF_A_SESSION = 50;
const RECOVER_EVERY = 10;
const LONGEST_LIFE_MS = 250;
const LONGEST_START_MS = 450;
const OPTIONS = ['--memory', '256MiB'];

export async function killedRecorder({ program, kills, random, findings, progress }) {
  await inPlace(async ({ directory, place }) => {
    for (let done = 0; done < kills; done += ROUNDS_OF_A_SESSION) {
      const load = await Load.start(program, 12, 100, 200);
      const guest = await Load.start(program, 4, 0, 0);
      const session = new Session({ directory, place, random, findings, guest });
      await session.begin(load);
      for (let round = 0; round < Math.min(ROUNDS_OF_A_SESSION, kills - done); round++) {
        await session.round(round);
        findings.count('kills');
        progress(done + round + 1, kills);
      }
      await load.requireProgress();
      await session.end();
      await load.end();
      await guest.end();
    }
  });
}

class Session {
  constructor(parts) {
    Object.assign(this, parts);
    /** The rings after the last kill. */
    this.kept = new Map();
  }

  async begin(load) {
    this.recorder = await Recorder.up(this.directory, OPTIONS);
    this.events = this.recorder.report.directory;
    await this.recorder.attach(load.pid, 'load');
  }

  async round(round) {
    const { random, findings } = this;
    const isStarting = round > 0 && random.below(4) === 0;
    if (!isStarting && round > 0) await this.#startNext();
    const lifeMs = random.next() * (isStarting ? LONGEST_START_MS : LONGEST_LIFE_MS);
    if (isStarting) {
      this.recorder = new Recorder(this.directory, OPTIONS);
      await sleep(lifeMs);
      findings.count('kills while it starts');
    } else await this.#liveFor(lifeMs);
    await this.recorder.kill();
    const left = readRings(this.events);
    findings.count('records held', countRecords(left.rings));
    findings.lost.push(...losses(this.kept, left.rings), ...disorders(left.rings, round + 1));
    this.kept = left.rings;
    this.unfinished = left.unreadable;
    findings.count('rings killed while made', left.unreadable.length);
    if (round % RECOVER_EVERY === RECOVER_EVERY - 1)
      await checkRecovery(this.events, join(this.place, 'recovered.data'), findings, this.kept);
  }

  /** Starts the next recorder, which must adopt all rings. */
  async #startNext() {
    const { findings, kept } = this;
    this.recorder = await Recorder.up(this.directory, OPTIONS);
    const { adoption } = this.recorder.report;
    if (adoption?.rings !== kept.size)
      findings.lost.push(`${kept.size} rings were left, ${adoption?.rings ?? 'none'} adopted`);
    if (adoption?.unreadable > 0)
      findings.broken.push(`${adoption.unreadable} rings could not be adopted: ${JSON.stringify(this.unfinished)}`);
    findings.count('rings adopted', adoption?.rings ?? 0);
  }

  /** Waits, mostly with a request under way when the recorder is killed. */
  async #liveFor(lifeMs) {
    const { random, recorder, guest, place, findings } = this;
    const work = random.pick(['none', 'snapshot whole', 'snapshot', 'attach', 'detach', 'list']);
    const dropped = join(place, 'dropped.data');
    if (work === 'snapshot whole') {
      await sleep(lifeMs);
      await checkSnapshot(recorder, join(place, 'snapshot.data'), findings, this.kept);
      return;
    }
    const before = random.next() * lifeMs;
    await sleep(before);
    const asked =
      work === 'snapshot'
        ? recorder.snapshot(dropped)
        : work === 'attach'
          ? recorder.attach(guest.pid, 'guest')
          : work === 'detach'
            ? recorder.detach('guest')
            : work === 'list'
              ? recorder.events()
              : Promise.resolve();
    if (work === 'detach') this.#forgetGuest();
    // Interrupted by the kill, or refused, as a second attachment of the same process is.
    asked.catch(() => undefined);
    if (work !== 'none') findings.count('kills with a request under way');
    await sleep(lifeMs - before);
    rmSync(dropped, { force: true });
  }

  /** Its rings are being removed: whether they were when the recorder was killed is not known. */
  #forgetGuest() {
    for (const [ringId, { path }] of this.kept) if (path.startsWith(`${this.events}/guest/`)) this.kept.delete(ringId);
  }

  /** Starts once more, compares files with events, and ends: no file is left. */
  async end() {
    const { findings, events } = this;
    await this.#startNext();
    await checkSnapshot(this.recorder, join(this.place, 'snapshot.data'), findings, this.kept);
    const listed = new Set((await this.recorder.events()).map(({ path }) => path));
    const files = ringFiles(events);
    // A thread may begin or exit between the two lists.
    const strays = files.filter((path) => !listed.has(path));
    if (strays.length > 5) findings.leaks.push(`files that are no events: ${strays.slice(0, 3).join(', ')} …`);
    await findings.end(this.recorder);
  }
}
