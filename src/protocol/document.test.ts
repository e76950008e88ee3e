import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BareMachine } from './bare-machine.ts';
import { CorrectedVariant } from './corrected/variant.ts';
import type { PostedMachine } from './posted/machine.ts';
import { PostedVariant } from './posted/variant.ts';

const root = join(import.meta.dirname, '../..');
const document = readFileSync(join(root, 'docs/PROTOCOL.md'), 'utf8');
const room = (name: string) =>
  readdirSync(join(root, 'src', name), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => ({ file, text: readFileSync(join(root, 'src', name, file), 'utf8') }));
const files = [...room('protocol'), ...room('sim'), ...room('check')];
const joined = (wanted: (file: string) => boolean) =>
  files
    .filter(({ file }) => wanted(file))
    .map(({ text }) => text)
    .join('\n');
const source = joined((file) => !file.endsWith('.test.ts') && !file.startsWith('testing/'));
const tests = joined((file) => file.endsWith('.test.ts') && file !== 'document.test.ts');

class Machine extends BareMachine {
  storeData(): void {}
}
const sizes = { cpus: 1, slotsPerCpu: 1, pagesPerRing: 1, maxEvents: 1, mends: [] };
const steps = [
  ...new CorrectedVariant(new Machine(), sizes).steps,
  ...new PostedVariant(new Machine() as unknown as PostedMachine, sizes).steps,
];
const stepNames = [...new Set(steps.map(({ name }) => name))];
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
const isInSource = (name: string) =>
  stepNames.includes(name) || new RegExp(`\\b${name.replace(/[^\w]/g, '\\$&')}\\b`).test(source);
const isScenario = (name: string) => source.includes(`name: '${name}'`);
const isTest = (title: string) => tests.includes(`'${title}'`);

const hunks = rows('## The patch, hunk by hunk');

describe('docs/PROTOCOL.md', () => {
  it('names every step of both forms, and no step that does not exist', () => {
    const documented = new Set(names(document));
    expect(stepNames.filter((name) => !documented.has(name))).toEqual([]);
    const stepLike = [...documented].filter((name) => /^\w[\w-]*\.[\w-]+$/.test(name) && !/\.(c|h|ts)$/.test(name));
    expect(stepLike.filter((name) => !stepNames.includes(name))).toEqual([]);
  });

  it('maps every hunk to code of both forms that exists, to a scenario and to a test that exist', () => {
    expect(hunks.length).toBeGreaterThan(33);
    for (const [hunk, posted, shown, corrected, exercised] of hunks) {
      expect(
        names(`${posted} ${corrected}`).filter((name) => !isInSource(name)),
        hunk,
      ).toEqual([]);
      expect(isScenario(shown!) || isTest(shown!), `${hunk}: ${shown}`).toBe(true);
      expect(isTest(exercised!), `${hunk}: ${exercised}`).toBe(true);
    }
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
            .filter((name) => !isScenario(name));
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
