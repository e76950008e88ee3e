import { Command } from 'commander';
import { expect, test } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { explain } from './diagnostics.ts';
import { addTriggerCommand } from './trigger.ts';
import { addUpCommand } from './up.ts';

test.each([
  [
    new RingkeepError('output-unwritable', 'nodir/x cannot be written: ENOENT', { path: 'nodir/x' }),
    /^nodir\/x cannot/,
  ],
  [new RingkeepError('output-unwritable', 'x cannot be written: EACCES', { path: 'x' }), /^x cannot/],
  [new RingkeepError('not-a-ring', 'nodir/x is too large'), /^nodir\/x is too large\.\n/],
  [new RingkeepError('no-such-thread', 'there is no process 7', { pid: 7 }), /^There is no process 7\.\n/],
])('a sentence begins with a capital, unless with a path: %s', (error, expected) => {
  expect(explain(error)).toMatch(expected);
});

test('the remedy for a directory of snapshots names existing options', () => {
  const program = new Command();
  addTriggerCommand(program);
  addUpCommand(program, '0.1.0');
  const [trigger, up] = program.commands;
  const optionsOf = (command: Command | undefined) => command!.options.map(({ long }) => long);
  const remedy = explain(new RingkeepError('snapshot-directory', 'x')).split('\n')[1];
  expect(remedy).toMatch(/^Use --dir, or `ringkeep up --snapshots`, /);
  expect(optionsOf(trigger!.commands.find((each) => each.name() === 'add'))).toContain('--dir');
  expect(optionsOf(up)).toContain('--snapshots');
});

test('another name is advised if only the name is taken', () => {
  const remedy = (details: Record<string, string>) =>
    explain(new RingkeepError('already-attached', 'x', details)).split('\n')[1];
  expect(remedy({ name: 'web', option: '--name' })).toMatch(/`ringkeep rm NAME` or use another --name\.$/);
  expect(remedy({ name: 'web' })).toMatch(/`ringkeep rm NAME`\.$/);
});

test('of a capture of switches without their CPUs the remedy is the option that records them', () => {
  const remedy = (details: Record<string, string>) =>
    explain(new RingkeepError('no-switches', 'x', details)).split('\n')[1];
  expect(remedy({ lack: 'cpu' })).toMatch(/`perf record --switch-events` with -a or --sample-cpu\.$/);
  expect(remedy({})).toMatch(/`perf sched record`/);
});
