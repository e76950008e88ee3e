/**
 * Runs SPIN on a Promela file: generate, compile, verify. Invariant: everything it writes is in a directory that is
 * gone when it returns.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RUN_PATIENCE_MS } from '../../src/base/testing/waiting.ts';

export interface SpinVerdict {
  /** Whether an assertion failed or an end state was invalid. */
  readonly isViolated: boolean;
  /** The distinct lines `final …` that the model printed. */
  readonly finals: ReadonlySet<string>;
  readonly states: number;
}

/** Verifies `file` with these macros defined, every error counted. */
export function spin(file: string, ...macros: readonly string[]): SpinVerdict {
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-spin-'));
  const run = (command: string, ...args: readonly string[]) =>
    execFileSync(command, args, { cwd: directory, encoding: 'utf8', maxBuffer: 1 << 26, timeout: RUN_PATIENCE_MS });
  try {
    run('spin', '-a', ...macros.map((macro) => `-D${macro}`), file);
    run('gcc', '-O2', '-w', '-DPRINTF', '-o', 'pan', 'pan.c');
    const report = run('./pan', '-c0', '-m10000');
    return {
      isViolated: Number(/errors: (\d+)/.exec(report)![1]) > 0,
      finals: new Set(report.match(/^final .*$/gm) ?? []),
      states: Number(/(\d+) states, stored/.exec(report)![1]),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
