/**
 * The attachments of a detached recorder: begins and ends them, and keeps them up to date with the processes that
 * exist.
 *
 * Invariant: an attachment has a directory for its ring files, `<directory>/<name>/<pmu>`, from `enter` to `detach`.
 */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import { formatDurationNs } from '../base/units.ts';
import { Attachment, type Target } from '../engine/attachment.ts';
import type { DeathWatch } from '../engine/death-watch.ts';
import type { EngineObserver, EventSetOwner } from '../engine/engine-observer.ts';
import { Interleaving } from '../engine/interleaving.ts';
import type { Recorder } from '../engine/recorder.ts';
import type { Thread } from '../engine/thread.ts';
import type { RemovalWatch } from '../linux/file-watch.ts';
import { isOwnProcess } from '../linux/own-processes.ts';
import { readProcStat } from '../linux/proc.ts';
import type { AttachableSource, EventSet } from '../source/source.ts';
import { defaultName, requireFree } from './attachment-name.ts';
import { EventSets } from './event-sets.ts';
import { directoriesIn, isCgroup, ProcessSearch, SEARCH_INTERVAL_MS, type SearchTarget } from './process-search.ts';
import { countRefusals, TaskAttacher } from './task-attacher.ts';

/** An emptied directory is removed after so many calls of `removeVanished`: a few seconds. */
const CALLS_TO_REMOVAL = 4;
/** The interval between drains of the source while threads are looked up in /proc. */
const DRAIN_MS = 40;
/** Refusals of perf and /proc for a task of another user. */
const NOT_OURS = new Set(['EACCES', 'EPERM']);

export class Attacher implements EngineObserver, EventSetOwner {
  readonly attachments = new Map<string, Attachment>();
  readonly #source: AttachableSource;
  readonly #recorder: Recorder;
  readonly #deaths: DeathWatch;
  readonly #removals: RemovalWatch;
  readonly #directory: string;
  readonly #eventSets: EventSets;
  readonly #tasks: TaskAttacher;
  /** Processes of other users that matched at the last rescan: not tried again. */
  #notOurs = new Set<number>();
  /**
   * Directories of attachments that ended because their files were removed, with the number of `removeVanished` since.
   */
  readonly #vanished = new Map<string, number>();
  /** Index of the living thread that `endGone` looks up next. */
  #nextLookup = 0;

  constructor(
    parts: { source: AttachableSource; recorder: Recorder; deaths: DeathWatch; removals: RemovalWatch },
    directory: string,
  ) {
    this.#source = parts.source;
    this.#recorder = parts.recorder;
    this.#eventSets = new EventSets(parts.source, parts.recorder, this.attachments);
    this.#deaths = parts.deaths;
    this.#tasks = new TaskAttacher(parts.recorder, parts.deaths, this.#eventSets);
    this.#removals = parts.removals;
    this.#directory = directory;
    this.#recorder.setEventSetOwner(this);
    this.#recorder.observe(this);
  }

  /**
   * Records the target from now on. Throws `bad-argument` for a name that cannot be a directory's, `already-attached`,
   * `no-such-thread`, `perf-refused` (details.errno), `ring-directory`.
   */
  attach(target: Target, name = defaultName(target, this.attachments), attachedWallMs = Date.now()): Attachment {
    requireFree(target, name, this.attachments);
    const attachment = this.enter(target, name, attachedWallMs);
    try {
      this.begin(attachment);
    } catch (error) {
      this.detach(name);
      throw error;
    }
    return attachment;
  }

  /** Makes an attachment that records nothing yet. Throws `ring-directory`. */
  enter(target: Target, name: string, attachedWallMs: number): Attachment {
    const attachment = new Attachment(this.#directory, name, target, this.#source.pmu, attachedWallMs);
    try {
      mkdirSync(attachment.directory, { recursive: true, mode: 0o700 });
    } catch (cause) {
      const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
      const { directory } = attachment;
      throw new RingkeepError('ring-directory', `${directory} cannot be made: ${errno}`, { errno }, { cause });
    }
    if (this.#removals.add(attachment.directory) < 0) {
      attachment.degraded.push(
        'the removal of an event file is noticed only if `ringkeep rm` removes it: no inotify watch is available',
      );
    }
    if (target.kind === 'comm' || target.kind === 'cgroup') {
      attachment.degraded.push(
        `matching processes are searched for once in ${formatDurationNs(SEARCH_INTERVAL_MS * 1e6)}: one that starts and exits in between is not recorded`,
      );
    }
    this.attachments.set(name, attachment);
    return attachment;
  }

  /** Attaches to the tasks of the target; a target by name or cgroup may have none yet. Throws as `attach`. */
  begin(attachment: Attachment): void {
    const { target } = attachment;
    if (target.kind === 'cgroup' && !isCgroup(target.path)) {
      throw new RingkeepError('bad-argument', `${target.path} is not a readable cgroup`, { path: target.path });
    }
    if (target.kind === 'tid') this.#tasks.attachTid(attachment, target.tid);
    else if (target.kind === 'pid') this.#tasks.attachPid(attachment, target.pid);
    else if (target.kind === 'all') this.#tasks.attachAll(attachment);
    else this.#attachMatching(attachment, target, new ProcessSearch());
  }

  /** Attaches to processes that have come to match an attachment by name or cgroup. */
  rescan(): void {
    const matching = new Set<number>();
    const search = new ProcessSearch();
    for (const attachment of this.attachments.values()) {
      const { target } = attachment;
      if (target.kind !== 'comm' && target.kind !== 'cgroup') continue;
      for (const pid of this.#attachMatching(attachment, target, search)) matching.add(pid);
    }
    // A PID that is reused may be that of a process of this user.
    this.#notOurs = new Set([...this.#notOurs].filter((pid) => matching.has(pid)));
  }

  /** Ends an attachment: its events, their rings and files. Throws `no-such-event`. */
  detach(name: string): void {
    const attachment = this.attachments.get(name);
    if (!attachment) throw new RingkeepError('no-such-event', `there is no attachment "${name}"`, { name });
    this.#eventSets.closeOf(attachment);
    const threads = [...this.#recorder.threads.living(), ...this.#recorder.threads.dead()];
    const own = threads.filter((thread) => thread.attachment === attachment);
    for (const thread of own) this.#recorder.threads.remove(thread);
    this.#recorder.threads.dropRemoved((thread) => thread.attachment === attachment);
    this.#unwatch(new Set(own.map(({ pid }) => pid)));
    this.attachments.delete(name);
    this.#eventSets.release(attachment);
    const parent = dirname(attachment.directory);
    if (existsSync(attachment.directory)) {
      removeEmpty(attachment.directory);
      removeEmpty(parent);
    } else this.#vanished.set(parent, 0);
  }

  /**
   * Removes directories whose files were removed; not at once, since rm(1) -r would then fail to remove them itself.
   */
  removeVanished(): void {
    for (const [directory, calls] of this.#vanished) {
      if (calls < CALLS_TO_REMOVAL) this.#vanished.set(directory, calls + 1);
      else {
        this.#vanished.delete(directory);
        if (!this.attachments.has(basename(directory))) removeEmpty(directory);
      }
    }
  }

  /** Stops watching those of the processes of which no thread is recorded any longer. */
  #unwatch(pids: ReadonlySet<number>): void {
    const recorded = new Set([...this.#recorder.threads.living()].map(({ pid }) => pid));
    for (const pid of pids) if (!recorded.has(pid)) this.#deaths.unwatch(pid);
  }

  /**
   * Ends every attachment, and removes directories that no session file lists: a recorder was killed while it made
   * them.
   */
  detachAll(): void {
    for (const name of [...this.attachments.keys()]) this.detach(name);
    for (const name of directoriesIn(this.#directory)) {
      const path = join(this.#directory, name);
      for (const pmu of directoriesIn(path)) removeEmpty(join(path, pmu));
      removeEmpty(path);
    }
  }

  /** The attachment and event set of a record with this id, in the context of process `pid`. */
  attachedBy(idLow: number, pid: number): { attachment: Attachment; eventSet: EventSet } | undefined {
    return this.#eventSets.attachedBy(idLow, pid);
  }

  attachProcess(attachment: Attachment, pid: number): void {
    this.#tasks.attachProcess(attachment, pid);
  }

  attachOrphaned(attachment: Attachment): void {
    this.#tasks.attachOrphaned(attachment);
  }

  partiallyInherited(thread: Thread): void {
    this.#tasks.notePartiallyInherited(thread);
  }

  completePartial(): void {
    this.#tasks.completePartial();
  }

  /** Closes event sets without threads. */
  closeIdle(): void {
    this.#eventSets.closeIdle();
  }

  /**
   * Ends threads that exited without an EXIT record: it was lost, or the thread had not inherited the event of that CPU
   * (AttachableSource.attachThread). Looks up `most` threads, and the next ones at the next call.
   */
  endGone(most = Number.POSITIVE_INFINITY): void {
    const threads = [...this.#recorder.threads.living()];
    const from = this.#nextLookup < threads.length ? this.#nextLookup : 0;
    const lookedUp = threads.slice(from, from + most);
    this.#nextLookup = from + lookedUp.length;
    const gone: Thread[] = [];
    const interleaving = new Interleaving(DRAIN_MS, () => this.#recorder.drain());
    for (const thread of lookedUp) {
      if (!existsSync(`/proc/${thread.pid}/task/${thread.tid}`)) gone.push(thread);
      interleaving.step();
    }
    // Their EXIT records may not have been read yet.
    if (gone.length > 0) this.#recorder.drain();
    for (const thread of gone) this.#recorder.threads.endWithoutExit(thread);
  }

  /** CPUs have come online or gone offline. */
  updateCpus(online: readonly number[]): void {
    this.#eventSets.updateCpus(online);
  }

  /** Attaches to processes that match. Returns all that do. */
  #attachMatching(attachment: Attachment, target: SearchTarget, search: ProcessSearch): readonly number[] {
    const pids = search.pidsOf(target);
    for (const pid of pids) {
      if (isOwnProcess(pid) || this.#recorder.threads.knows(pid) || this.#notOurs.has(pid)) continue;
      if (wasRemoved(attachment, pid)) continue;
      try {
        this.#tasks.attachProcess(attachment, pid);
      } catch (error) {
        if (!(error instanceof RingkeepError) || error.code === 'syscall') throw error;
        if (NOT_OURS.has(String(error.details.errno))) this.#notOurs.add(pid);
        else if (error.code !== 'no-such-thread') countRefusals(this.#recorder.threads, attachment, [pid], error);
      }
    }
    noteRefused(attachment, pids.filter((pid) => this.#notOurs.has(pid)).length);
    return pids;
  }
}

const REFUSED = 'matching processes that are not permitted to be recorded: ';

function noteRefused({ degraded }: Attachment, count: number): void {
  const at = degraded.findIndex((sentence) => sentence.startsWith(REFUSED));
  if (count === 0 && at < 0) return;
  const sentences = count === 0 ? [] : [`${REFUSED}${count}`];
  degraded.splice(at < 0 ? degraded.length : at, at < 0 ? 0 : 1, ...sentences);
}

/**
 * Whether the event of the process's main thread was removed from the attachment. Its PID may have been reused since.
 */
function wasRemoved({ removed }: Attachment, pid: number): boolean {
  if (!removed.has(pid)) return false;
  if (readProcStat(`/proc/${pid}/stat`)?.startTicks === removed.get(pid)) return true;
  removed.delete(pid);
  return false;
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // It is gone, or has files of others.
  }
}
