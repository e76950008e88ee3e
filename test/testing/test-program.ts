/** The C and C++ programs of test/fixtures, built again when their source has changed. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RUN_PATIENCE_MS } from '../../src/base/testing/waiting.ts';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
const FLAGS = ['-O1', '-g', '-pthread', '-Wall', '-Wextra', '-Werror'];

/** The path of the built program `name`, which every user may run. */
export function testProgram(name: string): string {
  const isCpp = existsSync(join(FIXTURES, `${name}.cpp`));
  const source = join(FIXTURES, `${name}.${isCpp ? 'cpp' : 'c'}`);
  const key = createHash('sha256')
    .update(readFileSync(source))
    .update(readFileSync(join(FIXTURES, 'end-by.h')));
  const directory = join(tmpdir(), `ringkeep-test-programs-${process.getuid?.()}`, key.digest('hex').slice(0, 16));
  const path = join(directory, name);
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true });
  // Renamed when it is complete: an interrupted build leaves no partial program.
  const unfinished = `${path}.${process.pid}`;
  const { status, stderr } = spawnSync(isCpp ? 'g++' : 'gcc', [...FLAGS, '-o', unfinished, source], {
    encoding: 'utf8',
    timeout: RUN_PATIENCE_MS,
  });
  if (status !== 0) throw new Error(`${name} does not compile: ${stderr}`);
  chmodSync(unfinished, 0o755);
  renameSync(unfinished, path);
  return path;
}
