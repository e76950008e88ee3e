/**
 * What these tests need of the machine they run on. Invariant: where it is missing the test is skipped, with the
 * reason; no test passes because something is missing.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { RUN_PATIENCE_MS } from '../../src/base/testing/waiting.ts';

/** Not by PATH: version managers put scripts there, which fork before they exec. */
export const PYTHON = '/usr/bin/python3';

type Need =
  | 'gcc'
  | 'g++'
  | 'objcopy'
  | 'perf'
  | 'perf events'
  | 'root'
  | 'python'
  | 'mount namespaces'
  | 'tracefs'
  | 'spin'
  | 'curl'
  | 'cgroups'
  | 'pressure'
  | 'CPU hotplug'
  | 'go';

interface Requirement {
  readonly isMet: () => boolean;
  readonly otherwise: string;
}

const REQUIREMENTS: Readonly<Record<Need, Requirement>> = {
  gcc: { isMet: () => succeeds('gcc', '--version'), otherwise: 'there is no gcc to build the test programs' },
  'g++': { isMet: () => succeeds('g++', '--version'), otherwise: 'there is no g++ to build the test programs' },
  objcopy: {
    isMet: () => succeeds('objcopy', '--version'),
    otherwise: 'there is no objcopy to separate a program from its symbols',
  },
  perf: { isMet: () => succeeds('perf', '--version'), otherwise: 'perf is not installed' },
  'perf events': {
    isMet: () => succeeds('perf', 'stat', '-e', 'cpu-clock:u', 'true'),
    otherwise: 'perf events are refused here, or perf is not installed',
  },
  root: { isMet: () => process.getuid?.() === 0, otherwise: 'only root may set this up' },
  python: { isMet: () => existsSync(PYTHON), otherwise: `there is no ${PYTHON}` },
  'mount namespaces': {
    isMet: () => succeeds('unshare', '-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/dev/shm'),
    otherwise: 'mounts in a namespace of one’s own are refused here',
  },
  pressure: { isMet: () => isWritable('/proc/pressure/cpu'), otherwise: 'the kernel measures no pressure (PSI)' },
  'CPU hotplug': {
    isMet: () => process.getuid?.() === 0 && isWritable('/sys/devices/system/cpu/cpu1/online'),
    otherwise: 'there is no CPU 1 that may be taken offline',
  },
  cgroups: {
    isMet: () => cgroupHierarchy() !== undefined,
    otherwise: 'no cgroup hierarchy is mounted below /sys/fs/cgroup where a group can be made',
  },
  curl: { isMet: () => succeeds('curl', '--version'), otherwise: 'curl is not installed' },
  go: {
    isMet: () => succeeds('go', 'version'),
    otherwise: 'there is no Go toolchain, whose pprof would read the profile',
  },
  spin: { isMet: () => succeeds('spin', '-V'), otherwise: 'the model checker spin is not installed' },
  tracefs: {
    isMet: () => existsSync('/sys/kernel/tracing/events/sched/sched_process_fork/id'),
    otherwise: 'tracefs is not mounted on /sys/kernel/tracing, or may not be read',
  },
};

/**
 * A directory in which a cgroup can be made and entered: of version 2, or of a hierarchy of version 1 that limits
 * nothing.
 */
export function cgroupHierarchy(): string | undefined {
  const candidates = ['', 'unified', 'systemd', 'cpuacct', 'pids'].map((name) => join('/sys/fs/cgroup', name));
  return candidates.find((path) => isWritable(join(path, 'cgroup.procs')));
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const met = new Map<Need, boolean>();

/** Skips the test, with the reason, unless everything needed is here. */
export function needs(context: TestContext, ...all: readonly Need[]): void {
  for (const need of all) {
    const { isMet, otherwise } = REQUIREMENTS[need];
    if (!met.has(need)) met.set(need, isMet());
    context.skip(!met.get(need), otherwise);
  }
}

function succeeds(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore', timeout: RUN_PATIENCE_MS }).status === 0;
}
