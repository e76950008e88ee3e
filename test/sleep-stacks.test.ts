/** Stacks taken when threads go off their CPUs: where each slept, as far as that is permitted. */
import { expect, test } from 'vitest';
import type { PostMortem } from '../src/post-mortem/report.ts';
import { record, showWithNames, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

const SLEEPER = ['sh', '-c', 'sleep 0.3; :'];

/** Functions of the longest sleep of the thread of that name. */
function placeOf({ threads }: PostMortem, comm: string): string[] {
  const waits = threads.find((thread) => thread.comm === comm)!.waits.filter(({ kind }) => kind === 'slept');
  return waits[0]?.frames?.flatMap(({ name }) => (name === null ? [] : [name])) ?? [];
}

test('every sleep is shown with the stack that it began in', async (context) => {
  needs(context, 'perf events', 'root');
  const file = new Workplace().file('perf.data');
  await record(['--sleep-stacks', '--snapshot', 'always', '-o', file], SLEEPER);
  const report = showWithNames(file);
  expect(placeOf(report, 'sleep').join()).toMatch(/nanosleep/);
  expect(placeOf(report, 'sh').join()).toMatch(/wait/);
});

test('where the user may not record the kernel, missing stacks of sleeps are reported', async (context) => {
  needs(context, 'perf events', 'root');
  const file = new Workplace().file('perf.data');
  const { summary } = await record(['--sleep-stacks', '--snapshot', 'always', '-o', file], SLEEPER, { as: 'nobody' });
  const hidden = summary.degraded.filter((text) => text.includes('stacks of sleeping threads are unknown'));
  expect(hidden).toHaveLength(1);
  expect(placeOf(showWithNames(file), 'sleep')).toEqual([]);
});

test('without --sleep-stacks a switch is recorded without a stack', async (context) => {
  needs(context, 'perf events');
  const file = new Workplace().file('perf.data');
  await record(['--snapshot', 'always', '-o', file], SLEEPER);
  expect(placeOf(showWithNames(file), 'sleep')).toEqual([]);
});
