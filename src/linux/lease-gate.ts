/**
 * A gate without a program of its own: posix_spawn(3) with a file action that opens a file on which we hold a write
 * lease.
 *
 *   recorder: memfd, F_SETLEASE ── posix_spawn (libuv's pool) ── pid, perf events ── release the lease ── wait
 *   child:                          vfork ── open /proc/self/fd/N ············ blocked ············ close ── exec
 *
 * The kernel blocks the open until the lease is released, which our death does as well (fcntl(2), Leases;
 * __break_lease() in fs/locks.c). The thread that called vfork waits with it. The child execs the command with our
 * arguments and environment as bytes, inherited descriptors, and default signals but those that are to be ignored.
 * Invariant: a command is given out while it is known to wait at the gate (F_GETLEASE shows the lease being broken), or
 * with a sentence in `degraded`.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { LAST_SIGNAL } from '../abi/signal.ts';
import { RingkeepError } from '../base/error.ts';
import type { CommandEnd, GatedCommand } from './gated-process.ts';
import type { InheritedState } from './inherited-state.ts';
import { setSoftLimit } from './limits.ts';
import { listIds, readProcText } from './proc.ts';
import type { ProgramFile } from './program-file.ts';
import { addressOf, errnoName, libcFunction, syscall } from './syscall.ts';

const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_GETLEASE = 1025;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** Ignored by default, and not used by Node: the kernel signals that the lease is being broken. */
const SIGURG = 23;
const MFD_CLOEXEC = 1;
const SIG_IGN = 1;
const SETSIGDEF = 0x04;
const SETSIGMASK = 0x08;
/** More than glibc's and musl's posix_spawn_file_actions_t (80) and posix_spawnattr_t (336) take. */
const SPAWN_STRUCT_BYTES = 512;
const SIGSET_BYTES = 128;
const ENOENT = 2;
/** How the shell reports a command that it cannot find, or cannot execute. */
const STATUS_NOT_FOUND = 127;
const STATUS_NOT_EXECUTABLE = 126;

/** Undefined where this kernel or libc has no such gate: no process is left. Throws `command-not-started`. */
export async function spawnBehindLease(
  inherited: InheritedState,
  program: ProgramFile,
  changes: Readonly<Record<string, string>>,
): Promise<GatedCommand | undefined> {
  if (readProcText(`/proc/self/task/${process.pid}/children`) === undefined) return undefined;
  const lease = takeLease();
  if (lease === undefined) return undefined;
  const before = new Set(childrenOfOtherThreads());
  let spawned: Promise<{ errno: number; pid: number }>;
  try {
    spawned = spawnBlocked(lease, inherited, program, changes);
  } catch {
    release(lease);
    return undefined; // A libc without one of these functions.
  }
  let over = false;
  void spawned.then(() => {
    over = true;
  });
  const wait = new Int32Array(new SharedArrayBuffer(4));
  while (!over && syscall('fcntl', lease.leased, F_GETLEASE) === F_WRLCK) {
    Atomics.wait(wait, 0, 0, 0.1);
    await new Promise((turn) => setImmediate(turn));
  }
  const waiting = over ? [] : childrenOfOtherThreads().filter((pid) => !before.has(pid));
  if (waiting.length !== 1) return withoutGate(lease, spawned);
  const pid = waiting[0]!;
  if (inherited.softDescriptorLimit !== undefined) setSoftLimit(pid, 'nofile', inherited.softDescriptorLimit);
  let isOver = false;
  const ended = endOf(spawned).then((end) => {
    isOver = true;
    return end;
  });
  return {
    pid,
    open: () => release(lease),
    ended,
    kill: (signal) => {
      if (!isOver) process.kill(pid, signal);
    },
    degraded: [],
  };
}

/** The child is not known to wait: it runs unrecorded, which the source reports when it opens events on it. */
async function withoutGate(
  lease: Lease,
  spawned: Promise<{ errno: number; pid: number }>,
): Promise<GatedCommand | undefined> {
  release(lease);
  const { errno, pid } = await spawned;
  if (errno !== 0) {
    const name = errnoName(errno);
    throw new RingkeepError('command-not-started', `no process can be started: ${name}`, { errno: name });
  }
  return {
    pid,
    open: () => {},
    ended: endOf(spawned),
    kill: (signal) => process.kill(pid, signal),
    degraded: ['the command did not wait for the recorder: its first moments are not recorded'],
  };
}

/**
 * Two opens of one file in memory. The child closes its copy of `leased` before it opens the file by way of `memory`:
 * our death must close the last copy.
 */
interface Lease {
  readonly memory: number;
  /** Holds the write lease. */
  readonly leased: number;
}

function takeLease(): Lease | undefined {
  const name = Buffer.from('ringkeep-gate\0');
  const memory = syscall('memfd_create', addressOf(name), MFD_CLOEXEC);
  if (memory < 0) return undefined;
  const leased = reopened(memory);
  if (leased !== undefined) {
    // SIGIO, the default, would end this process.
    if (syscall('fcntl', leased, F_SETSIG, SIGURG) === 0 && syscall('fcntl', leased, F_SETLEASE, F_WRLCK) === 0)
      return { memory, leased };
    closeSync(leased);
  }
  closeSync(memory);
  return undefined;
}

/** A lease needs an open that counts as a writer; memfd_create's does not (check_conflicting_open() in fs/locks.c). */
function reopened(memory: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${memory}`, constants.O_RDWR);
  } catch {
    return undefined; // /proc is not mounted, or no descriptor is left.
  }
}

function release({ leased, memory }: Lease): void {
  syscall('fcntl', leased, F_SETLEASE, F_UNLCK);
  closeSync(leased);
  closeSync(memory);
}

/** Children of every thread but the main one: what this process had started before it became Node belongs to that. */
function childrenOfOtherThreads(): number[] {
  return listIds('/proc/self/task')
    .filter((tid) => tid !== process.pid)
    .flatMap((tid) => (readProcText(`/proc/self/task/${tid}/children`) ?? '').split(' ').filter(Boolean).map(Number));
}

/** Calls posix_spawn in libuv's pool. */
function spawnBlocked(
  lease: Lease,
  inherited: InheritedState,
  { path, isPlainScript }: ProgramFile,
  changes: Readonly<Record<string, string>>,
): Promise<{ errno: number; pid: number }> {
  const call = (name: string, parameters: string) => libcFunction(`int ${name}(${parameters})`);
  const actions = Buffer.alloc(SPAWN_STRUCT_BYTES);
  const attributes = Buffer.alloc(SPAWN_STRUCT_BYTES);
  call('posix_spawn_file_actions_init', 'void *actions')(actions);
  const addDup = call('posix_spawn_file_actions_adddup2', 'void *actions, int from, int to');
  const addClose = call('posix_spawn_file_actions_addclose', 'void *actions, int fd');
  const addOpen = call(
    'posix_spawn_file_actions_addopen',
    'void *actions, int fd, const char *path, int flags, int mode',
  );
  // dup2 onto itself clears FD_CLOEXEC, here only.
  for (const fd of [0, 1, 2, ...inherited.descriptors]) if (inherited.used.has(fd)) addDup(actions, fd, fd);
  const target = freeDescriptor(lease, inherited);
  addClose(actions, lease.leased);
  addOpen(actions, target, `/proc/self/fd/${lease.memory}`, 0, 0);
  addClose(actions, target);
  addClose(actions, lease.memory);

  call('posix_spawnattr_init', 'void *attributes')(attributes);
  call('posix_spawnattr_setflags', 'void *attributes, short flags')(attributes, SETSIGDEF | SETSIGMASK);
  call('posix_spawnattr_setsigmask', 'void *attributes, void *set')(attributes, Buffer.alloc(SIGSET_BYTES));
  call('posix_spawnattr_setsigdefault', 'void *attributes, void *set')(
    attributes,
    allSignalsBut(inherited.ignoredSignals),
  );
  // Stays so in this process: under nohup, the recorder is not ended by SIGHUP either.
  const setSignal = libcFunction('intptr_t signal(int signal, intptr_t handler)');
  for (const signal of inherited.ignoredSignals) setSignal(signal, SIG_IGN);

  const file = isPlainScript ? Buffer.from('/bin/sh') : path;
  const argv = isPlainScript ? [file, path, ...inherited.argv.slice(1)] : inherited.argv;
  const vectors = [new StringVector([file]), new StringVector(argv), new StringVector(changed(inherited, changes))];
  const pid = Buffer.alloc(4);
  const spawn = call(
    'posix_spawn',
    'void *pid, uintptr_t path, void *actions, void *attributes, void *argv, void *envp',
  );
  return new Promise((done) => {
    const [path, args, env] = vectors as [StringVector, StringVector, StringVector];
    spawn.async(pid, path.first, actions, attributes, args.pointers, env.pointers, (error: unknown, errno: unknown) => {
      // The buffers are referenced until here.
      void [actions, attributes, vectors];
      done({ errno: error ? ENOENT : Number(errno), pid: pid.readInt32LE(0) });
    });
  });
}

/** A number that the child may use for a moment. */
function freeDescriptor({ memory, leased }: Lease, { used }: InheritedState): number {
  let fd = 3;
  while (used.has(fd) || fd === memory || fd === leased) fd++;
  return fd;
}

function allSignalsBut(ignored: readonly number[]): Buffer {
  const set = Buffer.alloc(SIGSET_BYTES);
  for (let signal = 1; signal <= LAST_SIGNAL; signal++) {
    if (!ignored.includes(signal)) set[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7);
  }
  return set;
}

function changed({ environment }: InheritedState, changes: Readonly<Record<string, string>>): Buffer[] {
  const names = Object.keys(changes).map((name) => Buffer.from(`${name}=`));
  const kept = environment.filter((entry) => !names.some((name) => entry.subarray(0, name.length).equals(name)));
  return [...kept, ...Object.entries(changes).map(([name, value]) => Buffer.from(`${name}=${value}`))];
}

/** A NULL-terminated vector of strings in memory that does not move. */
class StringVector {
  readonly pointers: Buffer;
  readonly #text: Buffer;
  readonly first: bigint;

  constructor(strings: readonly Buffer[]) {
    this.#text = Buffer.concat(strings.flatMap((bytes) => [bytes, Buffer.alloc(1)]));
    this.pointers = Buffer.alloc(8 * (strings.length + 1));
    let address = addressOf(this.#text);
    this.first = address;
    for (const [index, { length }] of strings.entries()) {
      this.pointers.writeBigUInt64LE(address, 8 * index);
      address += BigInt(length + 1);
    }
  }
}

/** si_code of a SIGCHLD (sigaction(2)). */
const CLD_EXITED = 1;
const SI_CODE_OFFSET = 8;
const SI_STATUS_OFFSET = 24;
const P_PID = 1;
const WEXITED = 4;

/** libuv does not know this child: we reap it. */
async function endOf(spawned: Promise<{ errno: number; pid: number }>): Promise<CommandEnd> {
  const { errno, pid } = await spawned;
  // libc has reaped the child.
  if (errno !== 0)
    return {
      code: errno === ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE,
      signal: null,
      refused: errnoName(errno),
    };
  const waitid = libcFunction('int waitid(int type, uint32_t id, void *info, int options)');
  const info = Buffer.alloc(128);
  for (;;) {
    const failure = await new Promise<number>((done) => {
      waitid.async(P_PID, pid, info, WEXITED, (error: unknown, result: unknown) => done(error ? -1 : Number(result)));
    });
    if (failure === 0) break;
    // Interrupted, or reaped by another's SIGCHLD settings: how it ended is not known then.
    if (readProcText(`/proc/${pid}/stat`) === undefined) return { code: null, signal: null };
  }
  const status = info.readInt32LE(SI_STATUS_OFFSET);
  return info.readInt32LE(SI_CODE_OFFSET) === CLD_EXITED
    ? { code: status, signal: null }
    : { code: null, signal: status };
}
