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

/** What `ringkeep check` with these arguments writes, and its exit status. */
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
  it('says of every scenario how it ended, and sums up', async () => {
    const { text, status } = await check();
    expect(text).toMatch(/^dekker +corrected +exhausted 7 executions of up to 10 steps, nothing is left$/m);
    expect(text).toMatch(/^peterson +corrected +exhausted 4 executions \(and 2 redundant\)/m);
    expect(text).toMatch(/^2 scenarios: 2 exhausted, 0 bounded, 0 violated; \d+ steps$/m);
    expect(status).toBe(0);
  });

  it('shows a violation as a trace with a token that replays it', async () => {
    const { text, status } = await check('dekker', '--variant', 'posted');
    expect(status).toBe(1);
    expect(text).toMatch(/mutual exclusion broken at enter/);
    const token = /--replay (\S+)/.exec(text)![1]!;
    const replayed = await check('--replay', token);
    expect(replayed.status).toBe(1);
    expect(replayed.text).toMatch(/^mutual exclusion: does not hold$/m);
    expect(text).toContain(replayed.text.split('\n')[1]!);
  });

  it('says bounded where a bound ended it', async () => {
    expect((await check('peterson', '--executions', '2')).text).toMatch(
      /bounded +1 executions \(and 1 redundant\) .*ended by --executions/,
    );
    expect((await check('peterson', '--preemptions', '0')).text).toMatch(/bounded .*nothing is left within the bound/);
    expect((await check('peterson', '--strategy', 'pct', '--depth', '2')).text).toMatch(
      /bounded +2000 executions .*probability 0\.0\d+$/m,
    );
  });

  it('writes the same as JSON, the same each time', async () => {
    const args = ['--variant', 'posted', '--every', '--json', '--strategy', 'random', '--executions', '300'];
    const { text } = await check(...args);
    const { checked } = JSON.parse(text);
    expect(checked.map(({ scenario, verdict }: { scenario: string; verdict: string }) => [scenario, verdict])).toEqual([
      ['dekker', 'violated'],
      ['peterson', 'violated'],
    ]);
    expect((await check(...args)).text).toBe(text);
  });

  it('says bounded when it is interrupted, of what was not begun too', async () => {
    const running = check('--strategy', 'random', '--executions', '100000000');
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.emit('SIGINT');
    const { text } = await running;
    expect(text).toMatch(/^dekker +corrected +bounded +\d+ executions .*interrupted$/m);
    expect(text).toMatch(/^peterson +corrected +bounded +0 executions .*interrupted$/m);
  });

  it.each([
    [['nothing'], /there is no scenario "nothing"; there are dekker, peterson/],
    [['--executions', '0'], /"0" is not a whole number from 1/],
    [['--strategy', 'pct', '--preemptions', '2'], /--preemptions means nothing to pct/],
    [['--replay', 'A1'], /is not a schedule/],
  ])('refuses %j', async (args, message) => {
    await expect(check(...args)).rejects.toThrow(message);
  });
});
