/** The whole command line, bundled as a program, whose `up` hosts a recorder that records nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { next, RUN_PATIENCE_MS } from '../../base/testing/waiting.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class FakeCommandLine {
  readonly #directory: string;
  readonly main: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.main = join(directory, 'main.js');
  }

  /** Bundles it to a directory from which packages resolve, with package.json two levels above, as in a build. */
  static async build(): Promise<FakeCommandLine> {
    const directory = mkdtempSync(join(root, 'node_modules', '.ringkeep-fake-'));
    const bundle = await rolldown({
      input: { main: join(root, 'src/cli/main.ts') },
      platform: 'node',
      external: ['koffi', 'fastify', /^gecko-profiler-demangle/],
      plugins: [
        {
          name: 'fake-recorder',
          resolveId: (source) =>
            source.endsWith('/detached-recorder.ts') ? join(root, 'src/cli/testing/fake-detached-recorder.ts') : null,
        },
      ],
    });
    await bundle.write({ dir: directory, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name].js' });
    await bundle.close();
    return new FakeCommandLine(directory);
  }

  spawn(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    return spawn(process.execPath, [this.main, ...args], { env: { ...process.env, ...env }, cwd: this.#directory });
  }

  /** Runs it to its end. */
  async run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
    const child = this.spawn(args, env);
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]!.setEncoding('utf8').on('data', (chunk) => {
        texts[name] += chunk;
      });
    }
    const status = await next<number | null>(child, 'close', `ringkeep ${args.join(' ')} to end`, RUN_PATIENCE_MS);
    return { status, ...texts };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
