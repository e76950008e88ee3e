import { linkSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { twoThreads } from '../export/testing/fixtures.ts';
import { refuseToReplace } from '../services/output-file.ts';
import { explain } from './diagnostics.ts';
import { addPlanCommand } from './plan.ts';
import { addSimulateCommand } from './simulate.ts';

let directory: string;
let capture: string;
let names: Readonly<Record<'itself' | 'symbolic' | 'hard', string>>;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ringkeep-output-'));
  capture = join(directory, 'perf.data');
  writeFileSync(capture, twoThreads().build());
  names = { itself: capture, symbolic: join(directory, 'symbolic'), hard: join(directory, 'hard') };
  symlinkSync(capture, names.symbolic);
  linkSync(capture, names.hard);
});
afterEach(() => rmSync(directory, { recursive: true }));

const kinds = ['itself', 'symbolic', 'hard'] as const;

describe('an output that is one of the inputs', () => {
  test.each(kinds)('is refused under any name: %s', (kind) => {
    for (const [input, output] of [
      [capture, names[kind]],
      [names[kind], capture],
    ] as const)
      expect(() => refuseToReplace(['/nowhere', input], output)).toThrow(
        expect.objectContaining({ code: 'output-unwritable' }),
      );
  });

  test('is reported with the option that names it', () => {
    const reported = (output: string) => {
      try {
        refuseToReplace([capture], output, '--plot');
      } catch (error) {
        return explain(error);
      }
      return 'nothing';
    };
    expect(reported(capture)).toBe(`${capture} is an input and would be overwritten.\nUse --plot with another file.`);
    expect(reported(names.hard)).toBe(
      `${names.hard} is the input ${capture} and would be overwritten.\nUse --plot with another file.`,
    );
    // Errors of a path that cannot be inspected are reported by its writer.
    expect([reported(join(directory, 'new')), reported(join(capture, 'new')), reported('/dev/null')]).toEqual(
      Array(3).fill('nothing'),
    );
  });

  test.each(kinds.flatMap((kind) => [['plan', kind] as const, ['simulate', kind] as const]))(
    '%s --plot does not change its input: %s',
    async (command, kind) => {
      const before = readFileSync(capture);
      const program = new Command().exitOverride();
      addPlanCommand(program);
      addSimulateCommand(program);
      const input = command === 'plan' ? [capture] : ['--from', capture];
      const run = program.parseAsync([command, ...input, '--plot', names[kind]], { from: 'user' });
      await expect(run).rejects.toMatchObject({ code: 'output-unwritable' });
      expect(readFileSync(capture).equals(before)).toBe(true);
    },
  );
});
