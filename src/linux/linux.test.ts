import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { spawnGated } from './gated-command.ts';
import { lockLimitBytes, raiseResourceLimit, resourceLimit } from './limits.ts';
import { Poller } from './poller.ts';
import {
  listIds,
  parseCpuList,
  parseMaps,
  parseProcStat,
  parseSchedStat,
  readCpus,
  readProcStat,
  readProcText,
} from './proc.ts';
import { decodeWaitStatus, exitStatusOfPidfd, openPidfd } from './process-exit.ts';
import { createRingFile, makeRingDirectory, removeRingDirectory, reserveRingFile } from './shmem.ts';
import { addressOf, errnoName, mustSyscall, syscall } from './syscall.ts';

const directories: string[] = [];
function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), 'ringkeep-linux-'));
  directories.push(path);
  return path;
}
afterEach(() => {
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true });
});

function lockedKiB(): number {
  return Number(/VmLck:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
}

describe('a system call', () => {
  it('returns −errno where it is refused, and throws it by name if it must succeed', () => {
    expect(syscall('close', 1_000_000)).toBe(-9);
    expect(() => mustSyscall('close', 1_000_000)).toThrow(
      expect.objectContaining({ code: 'syscall', details: { call: 'close', errno: 'EBADF' } }),
    );
    expect(errnoName(1)).toBe('EPERM');
  });
});

describe('a wait', () => {
  it('is ended by a signal that arrived before it began, and by a message of another thread', async () => {
    const poller = new Poller();
    poller.addEventLoop();
    let signals = 0;
    const count = () => signals++;
    process.on('SIGUSR2', count);
    try {
      poller.wait(0);
      process.kill(process.pid, 'SIGUSR2');
      // The handler of libuv has run by now; what is left to do is the event loop's.
      expect(poller.wait(60_000)).toEqual([]);
      expect(poller.isEventLoopDue).toBe(true);
      expect(signals).toBe(0);
      await new Promise((resume) => setImmediate(resume));
      await new Promise((resume) => setImmediate(resume));
      expect(signals).toBe(1);
    } finally {
      process.off('SIGUSR2', count);
      poller.close();
    }
  });
});

describe('a limit', () => {
  it('is raised from the soft one to the hard one', () => {
    const all = resourceLimit('nofile');
    const limits = BigUint64Array.of(0n, 0n);
    const address = addressOf(new Uint8Array(limits.buffer));
    mustSyscall('prlimit64', 0, 7, 0, address);
    const hard = Number(limits[1]);
    limits[0] = BigInt(all - 1);
    mustSyscall('prlimit64', 0, 7, address, 0);
    expect(resourceLimit('nofile')).toBe(all - 1);
    expect([raiseResourceLimit('nofile'), resourceLimit('nofile')]).toEqual([hard, hard]);
  });
});

describe('a ring file', () => {
  it('is private, has its memory reserved, and keeps its bytes after it is unmapped', () => {
    const path = join(scratch(), 'a.ring');
    const mapping = createRingFile(path, 65536, 8192);
    mapping.words[0] = 4711;
    mapping.words[2047] = 4712;
    expect(statSync(path).mode & 0o777).toBe(0o600);
    reserveRingFile(path, 65536);
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(65536);
    mapping.unmap();
    expect(() => mapping.words).toThrow('still mapped');
    const bytes = readFileSync(path);
    expect([bytes.length, bytes.readInt32LE(0), bytes.readInt32LE(2047 * 4)]).toEqual([65536, 4711, 4712]);
  });

  it('is refused a name in use, with a code', () => {
    const path = join(scratch(), 'a.ring');
    createRingFile(path, 8192, 8192).unmap();
    expect(() => createRingFile(path, 8192, 8192)).toThrow(
      expect.objectContaining({ code: 'ring-memory', details: { errno: 'EEXIST' } }),
    );
  });

  it('pins and unpins just the pages asked for', () => {
    const mapping = createRingFile(join(scratch(), 'a.ring'), 65536, 65536);
    const before = lockedKiB();
    expect(mapping.lock(0, 8192)).toBe(0);
    expect(lockedKiB() - before).toBe(8);
    expect(mapping.lock(8192, 65536 - 8192)).toBe(0);
    expect(lockedKiB() - before).toBe(64);
    mapping.unlock(0, 65536);
    expect(lockedKiB()).toBe(before);
    mapping.unmap();
  });

  it('is in a directory closed to other users, which is removed with everything in it', () => {
    const directory = makeRingDirectory(1);
    expect(statSync(directory.path).mode & 0o777).toBe(0o700);
    createRingFile(join(directory.path, 'a.ring'), 8192, 8192).unmap();
    removeRingDirectory(directory);
    expect(existsSync(directory.path)).toBe(false);
  });

  it('has no directory when none has the room, and the error gives the reason for each', () => {
    expect(() => makeRingDirectory(2 ** 60)).toThrow(
      expect.objectContaining({ code: 'ring-directory', message: expect.stringContaining('/dev/shm') }),
    );
  });
});

describe('the poller', () => {
  it('returns ready descriptors, once there are any or the timeout is over', async () => {
    const command = await spawnGated(['true']);
    const pidfd = openPidfd(command.pid);
    const poller = new Poller();
    expect(poller.add(pidfd)).toBe(0);
    expect(poller.wait(0)).toEqual([]);
    const startedMs = performance.now();
    expect(poller.wait(30)).toEqual([]);
    expect(performance.now() - startedMs).toBeGreaterThan(25);
    command.open();
    await command.ended;
    expect(poller.wait(10_000)).toEqual([pidfd]);
    poller.remove(pidfd);
    expect(poller.wait(0)).toEqual([]);
    poller.close();
    syscall('close', pidfd);
  });
});

describe('/proc', () => {
  it('is parsed in a stat line whose comm has spaces and parentheses', () => {
    const fields = Array.from({ length: 50 }, (_, index) => index + 3);
    const stat = parseProcStat(`42 (a (b) c) S ${fields.slice(1).join(' ')}\n`);
    expect(stat).toMatchObject({
      tid: 42,
      comm: 'a (b) c',
      state: 'S',
      ppid: 4,
      userTicks: 14,
      systemTicks: 15,
      startTicks: 22,
      cpu: 39,
      exitCode: 52,
    });
    expect(parseProcStat('nonsense')).toBeUndefined();
  });

  it('has the facts of this process', () => {
    expect(readProcStat(`/proc/${process.pid}/stat`)).toMatchObject({ tid: process.pid, ppid: process.ppid });
    expect(listIds(`/proc/${process.pid}/task`)).toContain(process.pid);
    const maps = parseMaps(readProcText('/proc/self/maps')!);
    expect(maps.some(({ path, prot }) => path === process.execPath && (prot & 4) !== 0)).toBe(true);
    expect(readCpus().online.length).toBeGreaterThan(0);
    expect(resourceLimit('nofile')).toBeGreaterThan(0);
    expect(lockLimitBytes()).toBeGreaterThanOrEqual(0);
  });

  it('gives undefined for a task that is gone', () => {
    expect([readProcText('/proc/0/stat'), readProcStat('/proc/0/stat'), listIds('/proc/0/task')]).toEqual([
      undefined,
      undefined,
      [],
    ]);
  });

  it('has lists of CPUs and schedstats, which are parsed', () => {
    expect(parseCpuList('0-3,8,10-11\n')).toEqual([0, 1, 2, 3, 8, 10, 11]);
    expect(parseSchedStat('12 34 56\n')).toEqual({ onCpuNs: 12n, runDelayNs: 34n, timeslices: 56n });
    expect(parseSchedStat('')).toBeUndefined();
  });
});

describe('the end of a process', () => {
  it('is read from a wait status', () => {
    expect(decodeWaitStatus(0x300)).toEqual({ code: 3, signal: null });
    expect(decodeWaitStatus(11)).toEqual({ code: null, signal: 11 });
    expect(decodeWaitStatus(0x80 | 6)).toEqual({ code: null, signal: 6 });
  });

  it('is read from its pidfd after it was reaped', async (context) => {
    const command = await spawnGated(['/bin/sh', '-c', 'kill -SEGV $$']);
    const pidfd = openPidfd(command.pid);
    expect(pidfd).toBeGreaterThan(0);
    expect(exitStatusOfPidfd(pidfd)).toBeUndefined();
    command.open();
    await command.ended;
    const status = exitStatusOfPidfd(pidfd);
    syscall('close', pidfd);
    if (!status) context.skip('this kernel has no PIDFD_INFO_EXIT (it came with Linux 6.15)');
    expect(status).toEqual({ code: null, signal: 11 });
  });
});

describe('a gated command', () => {
  it('does nothing before its gate opens, keeps its pid, and ends as without a gate', async () => {
    const mark = join(scratch(), 'ran');
    const command = await spawnGated(['/bin/sh', '-c', `echo $$ > ${mark}; exit 7`]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(existsSync(mark)).toBe(false);
    command.open();
    expect(await command.ended).toEqual({ code: 7, signal: null });
    expect(Number(readFileSync(mark, 'utf8'))).toBe(command.pid);
  });

  it('has the descriptors that it has without a gate', async () => {
    const list = join(scratch(), 'fds');
    const command = await spawnGated(['/bin/sh', '-c', `ls /proc/self/fd > ${list}`]);
    command.open();
    await command.ended;
    const without = execFileSync('/bin/sh', ['-c', `ls /proc/self/fd > ${list}.plain; cat ${list}.plain`], {
      encoding: 'utf8',
    });
    expect(readFileSync(list, 'utf8')).toBe(without);
  });

  it('that cannot be run is refused before anything runs', async () => {
    for (const [name, why] of [
      ['no-such-command-anywhere', 'not found'],
      ['/etc/passwd', 'not executable'],
      ['/tmp', 'not a file'],
    ] as const) {
      await expect(spawnGated([name])).rejects.toMatchObject({
        code: 'command-not-found',
        details: { command: name, why },
      });
    }
  });
});
