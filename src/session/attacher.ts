/**
 * Attaches live tasks to a recorder and keeps track of what is recorded on whose account.
 *
 * Attaching to a process, whose threads come and go meanwhile:
 *  1. List its threads. What is not known yet may have been forked by one that is attached, and has then inherited its events.
 *  2. Drain: such a thread has told of its FORK by now, and is known.
 *  3. Open events on those that are still unknown, and write down what they would have told: name, mappings, state.
 *  4. Again from 1, until nothing is left to do.
 *
 * Invariant: every thread that an attachment's target covers is recorded on its account, or was refused and is counted.
 */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import type { Target } from '../engine/attachment.ts';
import { Attachment, isAttachmentName } from '../engine/attachment.ts';
import type { DeathWatch } from '../engine/death-watch.ts';
import type { EngineObserver, EventSetOwner } from '../engine/engine-observer.ts';
import { Interleaving } from '../engine/interleaving.ts';
import type { Recorder } from '../engine/recorder.ts';
import type { Thread } from '../engine/thread.ts';
import { nowMs } from '../linux/clock.ts';
import type { RemovalWatch } from '../linux/file-watch.ts';
import { listIds, readProcStat, readProcText } from '../linux/proc.ts';
import type { AttachableSource, EventSet } from '../source/source.ts';
import { EventSets } from './event-sets.ts';
import { liveThread, mappingsOf } from './live-task.ts';
import { directoriesIn, isCgroup, ProcessSearch, type SearchTarget } from './process-search.ts';

/** Attaching to a large process, the source is drained so often at most. */
const DRAIN_MS = 40;
/** A process that starts threads faster than they can be listed is left with those that it has by then. */
const MOST_ROUNDS = 20;
/** More than are forked in the moment that attaching to a thread takes. */
const MOST_HALF = 256;
const HALF_MS = 2000;
/** Looks at a directory that somebody has emptied before it is taken away: a few seconds. */
const LOOKS_AT_VANISHED = 4;
/** Of an attachment, in characters. */
const LONGEST_NAME = 64;
/** What perf and /proc refuse because of whose task it is. */
const NOT_OURS = new Set(['EACCES', 'EPERM']);

export class Attacher implements EngineObserver, EventSetOwner {
  readonly attachments = new Map<string, Attachment>();
  readonly #source: AttachableSource;
  readonly #recorder: Recorder;
  readonly #deaths: DeathWatch;
  readonly #removals: RemovalWatch;
  readonly #directory: string;
  readonly #eventSets: EventSets;
  /** Processes that matched and were refused because of whose they are, and that matched at the last look: not asked for again. */
  #notOurs = new Set<number>();
  /** Threads that were forked while their parent was being attached to, and have inherited the events of some CPUs only. */
  readonly #half: Thread[] = [];
  /** Directories of attachments that ended as somebody removed what is in them, and how many looks ago. */
  readonly #vanished = new Map<string, number>();
  /** How many of the living threads, in their order, were looked for last. */
  #lookedAt = 0;

  constructor(
    parts: { source: AttachableSource; recorder: Recorder; deaths: DeathWatch; removals: RemovalWatch },
    directory: string,
  ) {
    this.#source = parts.source;
    this.#recorder = parts.recorder;
    this.#eventSets = new EventSets(parts.source, parts.recorder, this.attachments);
    this.#deaths = parts.deaths;
    this.#removals = parts.removals;
    this.#directory = directory;
    this.#recorder.setEventSetOwner(this);
    this.#recorder.observe(this);
  }

  /**
   * Records the target from now on. Throws `bad-argument` for a name that cannot be one, `already-attached`, `no-such-thread`
   * where there is nothing to attach to, `perf-refused` (details.errno), `ring-directory`.
   */
  attach(target: Target, name = defaultName(target, this.attachments), attachedWallMs = Date.now()): Attachment {
    this.#requireFree(target, name);
    const attachment = this.enter(target, name, attachedWallMs);
    try {
      this.begin(attachment);
    } catch (error) {
      this.detach(name);
      throw error;
    }
    return attachment;
  }

  /** Makes an attachment of which nothing is recorded yet. */
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
        'removing an event file by other means than `ringkeep rm` goes unnoticed: no inotify watch is left',
      );
    }
    this.attachments.set(name, attachment);
    return attachment;
  }

  /** Attaches what the target says; for one that names no single task that may be nothing yet. Throws as `attach`. */
  begin(attachment: Attachment): void {
    const { target } = attachment;
    if (target.kind === 'cgroup' && !isCgroup(target.path)) {
      throw new RingkeepError('bad-argument', `${target.path} is no cgroup that can be read`, { path: target.path });
    }
    if (target.kind === 'tid') this.#attachTid(attachment, target.tid);
    else if (target.kind === 'pid') this.#attachPid(attachment, target.pid);
    else if (target.kind === 'all') this.#attachAll(attachment);
    else this.#attachMatching(attachment, target, new ProcessSearch());
  }

  /** Looks for processes that have come to match an attachment by name or cgroup. */
  rescan(): void {
    const matching = new Set<number>();
    const search = new ProcessSearch();
    for (const attachment of this.attachments.values()) {
      const { target } = attachment;
      if (target.kind !== 'comm' && target.kind !== 'cgroup') continue;
      for (const pid of this.#attachMatching(attachment, target, search)) matching.add(pid);
    }
    // A number that is used again may be one of ours.
    this.#notOurs = new Set([...this.#notOurs].filter((pid) => matching.has(pid)));
  }

  /** All threads of the process that are not recorded yet. Throws when none of them is, and none was. */
  attachProcess(attachment: Attachment, pid: number): void {
    let refusal: RingkeepError | undefined;
    // Tried once, whatever came of it; of those the ones that are there and were refused.
    const tried = new Set<number>();
    const refused = new Set<number>();
    let attached = 0;
    const describe = once(() => this.#describe(pid));
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const listed = listIds(`/proc/${pid}/task`);
      if (listed.length === 0 && round === 0) throw noSuchProcess(pid);
      const unknown = listed.filter((tid) => !this.#recorder.threads.knows(tid) && !tried.has(tid));
      if (unknown.length === 0) break;
      this.#recorder.drain();
      const fresh = unknown.filter((tid) => !this.#recorder.threads.knows(tid));
      this.#eventSets.expect(fresh.length);
      this.#forEachDraining(fresh, (tid) => {
        if (this.#recorder.threads.knows(tid)) return;
        tried.add(tid);
        const error = this.#attachThread(attachment, pid, tid, describe);
        if (!error) {
          attached++;
          if (round > 0) this.#dedupe(tid);
        } else if (error.code !== 'no-such-thread') {
          refused.add(tid);
          refusal = error;
        }
      });
    }
    const isRecorded = () => listIds(`/proc/${pid}/task`).some((tid) => this.#recorder.threads.knows(tid));
    if (attached === 0 && !isRecorded()) throw refusal ?? noSuchProcess(pid);
    if (refusal) this.#tellRefusals(attachment, refused, refusal);
    this.#eventSets.own(pid, attachment);
    this.#deaths.watch(pid);
  }

  /** The thread came into being meanwhile: it may have inherited events of one that was attached to before it. */
  #dedupe(tid: number): void {
    const thread = this.#recorder.threads.get(tid);
    if (thread) this.#recorder.threads.dedupe(thread, thread.inheritance.eventSet, thread.inheritance.attachedNs);
  }

  /** Later than a moment after something was attached to it is no half, but its FORK was lost. */
  partiallyInherited(thread: Thread): void {
    if (nowMs() - (thread.attachment?.openedMs ?? 0) < HALF_MS && this.#half.length < MOST_HALF)
      this.#half.push(thread);
  }

  /** Gives those that have inherited the events of some CPUs only an event set of their own. Not while a batch is taken. */
  completePartial(): void {
    for (const thread of this.#half.splice(0)) {
      const { attachment, pid, tid } = thread;
      if (!attachment || !thread.inheritance.isPartial || thread.exitTimeNs !== undefined || thread.isRemoved) continue;
      try {
        const eventSet = this.#eventSets.open(attachment, pid, tid);
        this.#recorder.threads.dedupe(thread, eventSet, Number(process.hrtime.bigint()));
      } catch (error) {
        // It has ended, or no descriptors are left: it is recorded on the CPUs that it has events on.
        if (!(error instanceof RingkeepError) || error.code === 'syscall') throw error;
      }
    }
  }

  /** The threads that still live of those whose rings an earlier recorder left, and no others. Throws what is refused of any. */
  attachLeft(attachment: Attachment): void {
    let refusal: RingkeepError | undefined;
    for (const { header } of [...attachment.left.values()]) {
      const describe = () => this.#describe(header.pid);
      const error = this.#attachThread(attachment, header.pid, header.tid, describe);
      if (!error) this.#deaths.watch(header.pid);
      else if (error.code !== 'no-such-thread') refusal = error;
    }
    if (refusal) throw refusal;
  }

  /** Ends an attachment: its events, their rings and files. Throws `no-such-event`. */
  detach(name: string): void {
    const attachment = this.attachments.get(name);
    if (!attachment) throw new RingkeepError('no-such-event', `nothing is attached as "${name}"`, { name });
    this.#eventSets.closeOf(attachment);
    const threads = [...this.#recorder.threads.living(), ...this.#recorder.threads.dead()];
    const own = threads.filter((thread) => thread.attachment === attachment);
    for (const thread of own) this.#recorder.threads.remove(thread);
    this.#recorder.threads.dropRemoved((thread) => thread.attachment === attachment);
    this.#unwatch(new Set(own.map(({ pid }) => pid)));
    this.attachments.delete(name);
    this.#eventSets.disown(attachment);
    const parent = dirname(attachment.directory);
    if (existsSync(attachment.directory)) {
      removeEmpty(attachment.directory);
      removeEmpty(parent);
    } else this.#vanished.set(parent, 0);
  }

  /** Takes away what stands empty since somebody removed what was in it; not at once, who does it by rm(1) goes on to remove it. */
  removeVanished(): void {
    for (const [directory, looks] of this.#vanished) {
      if (looks < LOOKS_AT_VANISHED) this.#vanished.set(directory, looks + 1);
      else {
        this.#vanished.delete(directory);
        if (!this.attachments.has(basename(directory))) removeEmpty(directory);
      }
    }
  }

  /** Whose end is of interest no longer: processes of which no thread is recorded for something else. */
  #unwatch(pids: ReadonlySet<number>): void {
    const recorded = new Set([...this.#recorder.threads.living()].map(({ pid }) => pid));
    for (const pid of pids) if (!recorded.has(pid)) this.#deaths.unwatch(pid);
  }

  /** Every attachment ends, and with it directories of which nothing was written down: their recorder was killed over them. */
  detachAll(): void {
    for (const name of [...this.attachments.keys()]) this.detach(name);
    for (const name of directoriesIn(this.#directory)) {
      const path = join(this.#directory, name);
      for (const pmu of directoriesIn(path)) removeEmpty(join(path, pmu));
      removeEmpty(path);
    }
  }

  /** On whose account a record is that carries this id. */
  attachedBy(idLow: number, pid: number): { attachment: Attachment; eventSet: EventSet } | undefined {
    return this.#eventSets.attachedBy(idLow, pid);
  }

  /** Closes the events of which no thread is left. */
  closeIdle(): void {
    this.#eventSets.closeIdle();
  }

  /**
   * Ends the threads that have ended without a word of the kernel: it was lost, or it was for the event of a CPU that the thread had
   * not inherited (AttachableSource.attachThread). Looks at `most` threads, and the next time at those behind them.
   */
  endGone(most = Number.POSITIVE_INFINITY): void {
    const threads = [...this.#recorder.threads.living()];
    const from = this.#lookedAt < threads.length ? this.#lookedAt : 0;
    const looked = threads.slice(from, from + most);
    this.#lookedAt = from + looked.length;
    const gone: Thread[] = [];
    this.#forEachDraining(looked, (thread) => {
      if (!existsSync(`/proc/${thread.pid}/task/${thread.tid}`)) gone.push(thread);
    });
    // The word of it may still be on its way.
    if (gone.length > 0) this.#recorder.drain();
    for (const thread of gone) this.#recorder.threads.endWithoutExit(thread);
  }

  /** CPUs came or went. */
  updateCpus(online: readonly number[]): void {
    this.#eventSets.updateCpus(online);
  }

  #requireFree(target: Target, name: string): void {
    if (!isAttachmentName(name)) {
      throw new RingkeepError('bad-argument', `"${name}" cannot be the name of an attachment: it names a directory`, {
        name,
      });
    }
    const holder = this.attachments.get(name);
    if (holder) {
      const details = textOf(holder.target) === textOf(target) ? { name } : { name, option: '--name' };
      throw new RingkeepError('already-attached', `something is attached as "${name}" already`, details);
    }
    const others = [...this.attachments.values()];
    const all = others.find((other) => other.target.kind === 'all');
    const other = target.kind === 'all' ? others[0] : all;
    if (other) {
      const why = all
        ? 'every task is recorded already'
        : 'single tasks are recorded already, and would be recorded twice';
      throw new RingkeepError('already-attached', `${why}, as "${other.name}"`, { name: other.name });
    }
  }

  #attachPid(attachment: Attachment, pid: number): void {
    // /proc/TID shows a thread as it shows a process.
    const leader = processOf(pid);
    if (leader !== undefined && leader !== pid)
      throw new RingkeepError('no-such-thread', `${pid} is a thread of process ${leader}`, {
        tid: pid,
        process: leader,
      });
    const tids = listIds(`/proc/${pid}/task`);
    if (tids.length > 0 && tids.every((tid) => this.#recorder.threads.knows(tid))) {
      throw alreadyRecorded(`process ${pid}`, this.#recorder.threads.get(pid));
    }
    this.attachProcess(attachment, pid);
  }

  #attachTid(attachment: Attachment, tid: number): void {
    const pid = processOf(tid);
    if (pid === undefined) throw new RingkeepError('no-such-thread', `there is no thread ${tid}`, { tid });
    const known = this.#recorder.threads.knows(tid) ? this.#recorder.threads.get(tid) : undefined;
    if (known) throw alreadyRecorded(`thread ${tid}`, known);
    const error = this.#attachThread(attachment, pid, tid, () => this.#describe(pid));
    if (error) throw error;
    this.#deaths.watch(pid);
  }

  #attachAll(attachment: Attachment): void {
    const eventSet = this.#eventSets.enterSystemWide();
    const pids = listIds('/proc').filter((pid) => pid !== process.pid);
    this.#forEachDraining(pids, (pid) => {
      // A kernel thread maps nothing; it gets a ring when it first does something.
      if (!readProcText(`/proc/${pid}/maps`)) return;
      this.#describe(pid);
      for (const tid of listIds(`/proc/${pid}/task`)) {
        if (!this.#recorder.threads.knows(tid)) this.#addThread(attachment, eventSet, pid, tid);
      }
      this.#deaths.watch(pid);
    });
  }

  /** The processes that match, attached to or not. */
  #attachMatching(attachment: Attachment, target: SearchTarget, search: ProcessSearch): readonly number[] {
    const pids = search.pidsOf(target);
    for (const pid of pids) {
      if (pid === process.pid || this.#recorder.threads.knows(pid) || this.#notOurs.has(pid)) continue;
      if (wasRemoved(attachment, pid)) continue;
      try {
        this.attachProcess(attachment, pid);
      } catch (error) {
        if (!(error instanceof RingkeepError) || error.code === 'syscall') throw error;
        if (NOT_OURS.has(String(error.details.errno))) this.#notOurs.add(pid);
        else if (error.code !== 'no-such-thread') this.#tellRefusals(attachment, [pid], error);
      }
    }
    return pids;
  }

  /** What the process would have told: into the side-band log. */
  #describe(pid: number): void {
    const leader = this.#recorder.keptEvents[0]!;
    for (const record of mappingsOf(pid, process.hrtime.bigint(), leader)) this.#recorder.addToSideBandLog(pid, record);
  }

  /** Undefined, or why not. What there is to say of the process is said once the thread is to be had. */
  #attachThread(attachment: Attachment, pid: number, tid: number, describe: () => void): RingkeepError | undefined {
    let eventSet: EventSet;
    try {
      eventSet = this.#eventSets.open(attachment, pid, tid);
    } catch (error) {
      if (!(error instanceof RingkeepError)) throw error;
      return error;
    }
    describe();
    this.#addThread(attachment, eventSet, pid, tid);
    return undefined;
  }

  #addThread(attachment: Attachment, eventSet: EventSet, pid: number, tid: number): void {
    const timeNs = process.hrtime.bigint();
    const live = liveThread(pid, tid, timeNs, this.#recorder.keptEvents[0]!);
    if (!live) return;
    this.#recorder.addToSideBandLog(pid, live.identity);
    const start = { tid, pid, comm: live.comm, attachment, eventSet, timeNs: Number(timeNs) };
    if (!this.#recorder.threads.adopt(start, [live.state])) this.#recorder.threads.attach(start, [live.state]);
  }

  /** Those that are tried again each second, and refused again, count once. */
  #tellRefusals(attachment: Attachment, tids: Iterable<number>, error: RingkeepError): void {
    for (const tid of tids) {
      if (attachment.refused.has(tid)) continue;
      attachment.refused.add(tid);
      attachment.unrecorded++;
    }
    const sentence = `threads went unrecorded: ${error.message}`;
    if (!attachment.degraded.includes(sentence)) attachment.degraded.push(sentence);
  }

  #forEachDraining<T>(items: readonly T[], act: (item: T) => void): void {
    const interleaving = new Interleaving(DRAIN_MS, () => this.#recorder.drain());
    for (const item of items) {
      act(item);
      interleaving.step();
    }
  }
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}

/** Whether the event of the process's main thread was removed from the attachment; its number may be another's by now. */
function wasRemoved({ removed }: Attachment, pid: number): boolean {
  if (!removed.has(pid)) return false;
  if (readProcStat(`/proc/${pid}/stat`)?.startTicks === removed.get(pid)) return true;
  removed.delete(pid);
  return false;
}

/**
 * The target as the name of a directory, with a number behind it where another target has that already: `zzz*` and `zzz?` are told
 * alike. The same target again gets the name that it has, which is refused.
 */
function defaultName(target: Target, attachments: ReadonlyMap<string, Attachment>): string {
  const text = textOf(target);
  const name = text.replaceAll(/[^\w.@:+-]+/g, '_');
  for (let number = 1; ; number++) {
    const ending = number === 1 ? '' : `-${number}`;
    const free = name.slice(0, LONGEST_NAME - ending.length) + ending;
    const other = attachments.get(free);
    if (!other || textOf(other.target) === text) return free;
  }
}

function textOf(target: Target): string {
  switch (target.kind) {
    case 'pid':
      return `pid-${target.pid}`;
    case 'tid':
      return `tid-${target.tid}`;
    case 'comm':
      return `comm-${target.glob}`;
    case 'cgroup':
      return `cgroup-${target.path}`;
    case 'all':
      return 'all';
  }
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Gone already, or it holds what is not ours.
  }
}

/** The process that the thread is of; undefined: there is no such thread. */
function processOf(tid: number): number | undefined {
  const tgid = /^Tgid:\s+(\d+)/m.exec(readProcText(`/proc/${tid}/status`) ?? '')?.[1];
  return tgid === undefined ? undefined : Number(tgid);
}

function noSuchProcess(pid: number): RingkeepError {
  return new RingkeepError('no-such-thread', `there is no process ${pid}`, { pid });
}

function alreadyRecorded(what: string, known: Thread | undefined): RingkeepError {
  const name = known?.attachment?.name ?? '';
  const how = known?.isRemoved
    ? `belongs to "${name}", and its event was removed`
    : `is recorded already, as part of "${name}"`;
  return new RingkeepError('already-attached', `${what} ${how}`, { name });
}
