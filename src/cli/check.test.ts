import { Command } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Catalogue } from '../check/catalogue.ts';
import { dekker, peterson } from '../check/litmus/litmus.ts';
import { addCheckCommand } from './check.ts';

const catalogue: Catalogue = [
  {
    name: 'dekker',
    summary: 'two flags',
    variants: ['posted', 'corrected'],
    program: (variant) => dekker(variant === 'posted').program,
  },
  {
    name: 'peterson',
    summary: 'two flags and a turn',
    variants: ['posted', 'corrected'],
    program: (variant) => peterson(variant === 'posted').program,
  },
];

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

/** The output of `ringkeep check` with these arguments, and its exit status. */
async function check(...args: readonly string[]): Promise<{ text: string; status: number }> {
  let text = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  const program = new Command().exitOverride();
  addCheckCommand(program, async () => catalogue);
  await program.parseAsync(['node', 'ringkeep', 'check', ...args]);
  const status = Number(process.exitCode ?? 0);
  vi.restoreAllMocks();
  process.exitCode = undefined;
  return { text, status };
}

describe('ringkeep check', () => {
  it('prints the verdict of every scenario, and a summary', async () => {
    const { text, status } = await check();
    expect(text).toMatch(/^dekker +corrected +exhausted 7 executions of up to 10 steps, complete$/m);
    expect(text).toMatch(/^peterson +corrected +exhausted 4 executions \(and 2 redundant\)/m);
    expect(text).toMatch(/^2 scenarios: 2 exhausted, 0 bounded, 0 violated; \d+ steps$/m);
    expect(status).toBe(0);
  });

  it('prints a violation as a trace with a token that replays it', async () => {
    const { text, status } = await check('dekker', '--variant', 'posted');
    expect(status).toBe(1);
    expect(text).toMatch(/mutual exclusion violated at enter/);
    const token = /--replay (\S+)/.exec(text)![1]!;
    const replayed = await check('--replay', token);
    expect(replayed.status).toBe(1);
    expect(replayed.text).toMatch(/^mutual exclusion: does not hold$/m);
    expect(text).toContain(replayed.text.split('\n')[1]!);
  });

  it('the verdict of a search stopped by a bound is bounded', async () => {
    expect((await check('peterson', '--executions', '2')).text).toMatch(
      /bounded +1 executions \(and 1 redundant\) .*stopped by --executions/,
    );
    expect((await check('peterson', '--preemptions', '0')).text).toMatch(
      /bounded .*complete within the preemption bound/,
    );
    expect((await check('peterson', '--strategy', 'pct', '--depth', '2')).text).toMatch(
      /bounded +2000 executions .*probability 0\.0\d+$/m,
    );
  });

  it('prints the same JSON each time', async () => {
    const args = ['--variant', 'posted', '--every', '--json', '--strategy', 'random', '--executions', '300'];
    const { text } = await check(...args);
    const { checked } = JSON.parse(text);
    expect(checked.map(({ scenario, verdict }: { scenario: string; verdict: string }) => [scenario, verdict])).toEqual([
      ['dekker', 'violated'],
      ['peterson', 'violated'],
    ]);
    expect((await check(...args)).text).toBe(text);
  });

  it('the verdict after an interrupt is bounded, also for scenarios not begun', async () => {
    const running = check('--strategy', 'random', '--executions', '100000000');
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.emit('SIGINT');
    const { text } = await running;
    expect(text).toMatch(/^dekker +corrected +bounded +\d+ executions .*interrupted$/m);
    expect(text).toMatch(/^peterson +corrected +bounded +0 executions .*interrupted$/m);
  });

  it.each([
    [['nothing'], /there is no scenario "nothing"; there are dekker, peterson/],
    [['--executions', '0'], /"0" is not a whole number of at least 1/],
    [['--strategy', 'pct', '--preemptions', '2'], /--preemptions does not apply to the strategy pct/],
    [['--replay', 'A1'], /is not a schedule/],
  ])('refuses %j', async (args, message) => {
    await expect(check(...args)).rejects.toThrow(message);
  });
});
