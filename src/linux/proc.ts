/**
 * /proc, parsed. Every reader returns undefined for a task that is gone or not readable; both may happen at any time.
 * Source: proc(5), proc_pid_stat(5); /proc/PID/schedstat: Documentation/scheduler/sched-stats.rst, Linux 6.1.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** The fields of /proc/PID/stat (or of a task's) in use here. Times in clock ticks of 10 ms (USER_HZ = 100). */
export interface ProcStat {
  readonly tid: number;
  readonly comm: string;
  readonly state: string;
  readonly ppid: number;
  readonly userTicks: number;
  readonly systemTicks: number;
  /** Ticks since boot. */
  readonly startTicks: number;
  readonly cpu: number;
  /** A wait(2) status; 0 where it may not be read. */
  readonly exitCode: number;
}

/** Nanoseconds in a clock tick of /proc (1/USER_HZ) on x86-64 and arm64. */
export const TICK_NS = 10_000_000;

/** The text of a file below /proc or /sys, or undefined. */
export function readProcText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined; // Gone or forbidden: callers treat both alike.
  }
}

export function readProcStat(path: string): ProcStat | undefined {
  const text = readProcText(path);
  return text === undefined ? undefined : parseProcStat(text);
}

/** Parses a stat line; comm stands in parentheses and may itself hold spaces and parentheses. */
export function parseProcStat(text: string): ProcStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  // The man page numbers fields from 1; the state, field 3, is the first after comm.
  const rest = text
    .slice(close + 2)
    .trim()
    .split(' ');
  const field = (number: number) => Number(rest[number - 3] ?? 0);
  return {
    tid: Number(text.slice(0, open)),
    comm: Buffer.from(text.slice(open + 1, close), 'latin1').toString('utf8'),
    state: rest[0] ?? '?',
    ppid: field(4),
    userTicks: field(14),
    systemTicks: field(15),
    startTicks: field(22),
    cpu: field(39),
    exitCode: field(52),
  };
}

/** Nanoseconds on a CPU, nanoseconds runnable without one, and how often it was scheduled in. */
export interface SchedStat {
  readonly onCpuNs: bigint;
  readonly runDelayNs: bigint;
  readonly timeslices: bigint;
}

export function parseSchedStat(text: string): SchedStat | undefined {
  const match = /^(\d+) (\d+) (\d+)/.exec(text);
  return match
    ? { onCpuNs: BigInt(match[1]!), runDelayNs: BigInt(match[2]!), timeslices: BigInt(match[3]!) }
    : undefined;
}

/** The numeric entries of a directory: processes of /proc, tasks of /proc/PID/task. Empty when it is gone. */
export function listIds(path: string): number[] {
  try {
    return readdirSync(path)
      .map(Number)
      .filter((id) => Number.isInteger(id));
  } catch {
    return []; // Gone or forbidden, as above.
  }
}

/** One executable or other file mapping of /proc/PID/maps. */
export interface MapsEntry {
  readonly start: bigint;
  readonly end: bigint;
  /** 1 read, 2 write, 4 execute. */
  readonly prot: number;
  readonly shared: boolean;
  readonly offset: bigint;
  readonly major: number;
  readonly minor: number;
  readonly inode: bigint;
  readonly path: string;
}

export function parseMaps(text: string): MapsEntry[] {
  const line = /^([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$/gm;
  return [...text.matchAll(line)].map(([, start, end, flags, offset, major, minor, inode, path]) => ({
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    prot: (flags![0] === 'r' ? 1 : 0) | (flags![1] === 'w' ? 2 : 0) | (flags![2] === 'x' ? 4 : 0),
    shared: flags![3] === 's',
    offset: BigInt(`0x${offset}`),
    major: Number.parseInt(major!, 16),
    minor: Number.parseInt(minor!, 16),
    inode: BigInt(inode!),
    path: Buffer.from(path!, 'latin1').toString('utf8'),
  }));
}

export function parseForkCount(text: string): number | undefined {
  const count = /^processes (\d+)$/m.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}

/** Tasks, threads included, that were forked since boot: `processes` of /proc/stat, proc(5). */
export function readForkCount(): number | undefined {
  return parseForkCount(readProcText('/proc/stat') ?? '');
}

/** The numbers of a CPU list such as `0-3,8`. */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first, last = first] = part.split('-').map(Number) as [number, number?];
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** CPUs that are online now; undefined if no descriptor is left to read the file. */
export function readOnlineCpus(): number[] | undefined {
  const text = readProcText('/sys/devices/system/cpu/online');
  return text === undefined ? undefined : parseCpuList(text);
}

/** CPUs by state (Documentation/admin-guide/cputopology.rst). */
export function readCpus(): { online: number[]; present: number[]; possible: number[] } {
  const read = (which: string) => readProcText(`/sys/devices/system/cpu/${which}`);
  const online = readOnlineCpus() ?? [0];
  const present = read('present');
  return {
    online,
    present: present === undefined ? online : parseCpuList(present),
    possible: parseCpuList(read('possible') ?? '0'),
  };
}
