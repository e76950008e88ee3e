import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BareMachine } from './bare-machine.ts';
import { CorrectedVariant } from './corrected/variant.ts';
import type { PostedMachine } from './posted/machine.ts';
import { PostedVariant } from './posted/variant.ts';

const root = join(import.meta.dirname, '../..');
const document = readFileSync(join(root, 'docs/PROTOCOL.md'), 'utf8');
const filesOf = (room: string) =>
  readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(root, 'src', room, file));
const textOf = (room: string, isWanted: (file: string) => boolean) =>
  filesOf(room)
    .filter(isWanted)
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
const scenarios = textOf('check/scenario', (file) => !file.endsWith('.test.ts'));
const tests = ['sim', 'check'].map((room) => textOf(room, (file) => file.endsWith('.test.ts'))).join('\n');

class Machine extends BareMachine {
  storeData(): void {}
}
const sizes = { cpus: 1, slotsPerCpu: 1, pagesPerRing: 1, maxEvents: 1, mends: [] };
const namesOf = (steps: readonly { readonly name: string }[]) => new Set(steps.map(({ name }) => name));

/** One form of the protocol: the names of its steps, and what its modules export. */
async function formOf(room: string, steps: ReadonlySet<string>) {
  const modules = await Promise.all(filesOf(room).map((file) => import(file) as Promise<Record<string, unknown>>));
  const exported = new Map(modules.flatMap((module) => Object.entries(module)));
  const isExported = (name: string) => {
    const [symbol, member, ...rest] = name.split('.');
    const value = exported.get(symbol!);
    if (value === undefined || rest.length > 0) return false;
    if (member === undefined) return true;
    return typeof value === 'function' ? member in value.prototype : member in (value as object);
  };
  return { steps, has: (name: string) => steps.has(name) || isExported(name) };
}
const posted = await formOf(
  'protocol/posted',
  namesOf(new PostedVariant(new Machine() as unknown as PostedMachine, sizes).steps),
);
const corrected = await formOf('protocol/corrected', namesOf(new CorrectedVariant(new Machine(), sizes).steps));

const names = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
const rows = (heading: string) => {
  const section = document.slice(document.indexOf(heading) + heading.length);
  const end = section.indexOf('\n## ');
  return section
    .slice(0, end < 0 ? undefined : end)
    .split('\n')
    .filter((line) => /^\| (?!-|Hunk|Defect)/.test(line))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
};
const isNamed = (name: string) => scenarios.includes(`name: '${name}'`);
const isTest = (title: string) => tests.includes(`'${title}'`);

const hunks = rows('## The patch, hunk by hunk');

describe('docs/PROTOCOL.md', () => {
  it('opens with the hunks of the patch', () => {
    expect(/^## .*/m.exec(document)?.[0]).toBe('## The patch, hunk by hunk');
  });

  it('names every step of both forms, and no step that does not exist', () => {
    const documented = new Set(names(document));
    const stepNames = new Set([...posted.steps, ...corrected.steps]);
    expect([...stepNames].filter((name) => !documented.has(name))).toEqual([]);
    const stepLike = [...documented].filter((name) => /^[a-z_][\w-]*\.[a-z][\w-]*$/.test(name));
    expect(stepLike.filter((name) => !stepNames.has(name) && !/\.(c|h|ts|md)$/.test(name))).toEqual([]);
  });

  it('maps every hunk to steps and exported symbols of both forms, to a scenario and to a test', () => {
    expect(hunks.length).toBeGreaterThan(33);
    for (const [hunk, asPosted, shown, asCorrected, exercised, live] of hunks) {
      expect([...names(asPosted!), ...names(asCorrected!)].length, hunk).toBeGreaterThan(0);
      expect(
        names(asPosted!).filter((name) => !posted.has(name)),
        `${hunk}, posted`,
      ).toEqual([]);
      expect(
        names(asCorrected!).filter((name) => !corrected.has(name)),
        `${hunk}, corrected`,
      ).toEqual([]);
      expect(isNamed(shown!) || isTest(shown!), `${hunk}: ${shown}`).toBe(true);
      expect(isTest(exercised!) || isNamed(exercised!), `${hunk}: ${exercised}`).toBe(true);
      expect(live, hunk).toMatch(/^(live|modelled)\b/);
    }
  });

  it('takes a word that no module exports for no name', () => {
    expect(['unclaim', 'EventWord.npin', 'ProtocolState.listInsert', 'slot.lock'].filter(corrected.has)).toHaveLength(
      4,
    );
    expect(['taken', 'EventWord.xpinned', 'ProtocolState.nowhere', 'xpinned.inc'].filter(corrected.has)).toEqual([]);
    expect(['rbInject', 'PostedWord.xpinned', 'xpinned.inc'].filter(posted.has)).toHaveLength(3);
  });

  it('settles every defect of the design by scenarios and tests that exist', () => {
    const defects = rows('## The defects, settled');
    expect(defects.length).toBe(28);
    for (const [defect, settled] of defects) {
      const quoted = /^the test "(.*)"$/.exec(settled!)?.[1];
      if (settled!.startsWith('by reading: ')) continue;
      const missing = quoted
        ? [quoted].filter((title) => !isTest(title))
        : settled!
            .replace(/ \([^)]*\)/g, '')
            .split(', ')
            .filter((name) => !isNamed(name));
      expect(missing, defect).toEqual([]);
    }
  });

  it('covers every function and field the patch adds', () => {
    const added = [
      'xpinned',
      'get_pages_work',
      'shmem_events',
      '__unpin_event_pages',
      'pin_event_pages',
      'perf_event_stop',
      'perf_event_queue_work',
      'event_sched_in',
      '_free_event',
      'perf_event_update_userpage',
      'perf_event_exit_task',
      'inherit_event',
      'shmem_file_addr',
      'shmem_pages_in',
      'perf_aux_output_begin',
      'perf_rb_size',
      'rb_inject',
      'rb_shmem_unmap',
      'rb_get_kernel_pages',
      'rb_put_kernel_pages',
      'rb_free_detached',
    ];
    const mapped = hunks.map(([hunk]) => hunk).join('\n');
    expect(added.filter((name) => !mapped.includes(name))).toEqual([]);
  });
});
