/**
 * The Firefox Profiler as a reader: its own command line, which loads a profile as the web page does. Invariant: the
 * process that holds a profile ends with the test.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RUN_PATIENCE_MS } from '../../src/base/testing/waiting.ts';

const CLI = createRequire(import.meta.url).resolve('@firefox-devtools/profiler-cli');

/** A thread as the profiler lists it. */
export interface ListedThread {
  readonly threadHandle: string;
  readonly name: string;
  readonly processName: string;
  readonly pid: string;
  readonly tid: number | string;
  readonly cpuMs: number;
  readonly markerCount: number;
}

export interface FirefoxReading {
  readonly threads: readonly (ListedThread & { readonly samples: number })[];
}

/** Loads the profile and asks for its threads and how many samples with a stack each has. */
export function readWithFirefoxProfiler(path: string): FirefoxReading {
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-profiler-'));
  const ask = (...args: string[]): string => {
    const env = { ...process.env, PROFILER_CLI_SESSION_DIR: directory, PROFILER_CLI_NO_SYMBOLICATE: '1' };
    const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
      encoding: 'utf8',
      env,
      timeout: RUN_PATIENCE_MS,
    });
    if (status !== 0) throw new Error(`profiler-cli ${args.join(' ')} ends with ${status}: ${stderr}${stdout}`);
    return stdout;
  };
  try {
    loadPatiently(ask, path);
    const { threads } = JSON.parse(ask('thread', 'list', '--json')) as { threads: ListedThread[] };
    return { threads: threads.map((thread) => ({ ...thread, samples: samplesOf(ask, thread) })) };
  } finally {
    ask('stop', '--all');
    rmSync(directory, { recursive: true, force: true });
  }
}

type Ask = (...args: string[]) => string;

/** Under load the process that holds the profile takes longer to start than the command waits. */
function loadPatiently(ask: Ask, path: string): void {
  try {
    ask('load', path);
  } catch (error) {
    if (!String(error).includes('did not become ready')) throw error;
    for (let tries = 0; ; tries++) {
      try {
        ask('thread', 'list', '--limit', '1', '--json');
        return;
      } catch (again) {
        if (tries === MOST_TRIES) throw again;
      }
    }
  }
}

const MOST_TRIES = 20;

function samplesOf(ask: Ask, { threadHandle }: ListedThread): number {
  const answer = ask('thread', 'samples', '--thread', threadHandle, '--include-idle', '--limit', '1', '--json');
  const { categoryBreakdown } = JSON.parse(answer) as { categoryBreakdown?: { totalSamples: number } };
  return categoryBreakdown?.totalSamples ?? 0;
}
