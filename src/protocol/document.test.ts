import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BareMachine } from './bare-machine.ts';
import { Pinning } from './pinning.ts';

const room = import.meta.dirname;
const document = readFileSync(join(room, '../../docs/PROTOCOL.md'), 'utf8');
const files = readdirSync(room, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
const read = (names: string[]) => names.map((name) => readFileSync(join(room, name), 'utf8')).join('\n');
const source = read(files.filter((name) => !name.endsWith('.test.ts') && !name.startsWith('testing/')));
const tests = read(files.filter((name) => name.endsWith('.test.ts') && name !== 'document.test.ts'));

const { steps } = new Pinning(new BareMachine(), { cpus: 1, slotsPerCpu: 1, pagesPerRing: 1, maxEvents: 1 }).protocol;
const stepNames = Object.values(steps).map((step) => step.name);
const names = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);

const hunks = document
  .slice(document.indexOf('## The patch, hunk by hunk'))
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, hunk, here, test]) => ({ hunk: hunk!, here: here!, test: test! }));

describe('docs/PROTOCOL.md', () => {
  it('names every step, and no step that does not exist', () => {
    const documented = new Set(names(document));
    expect(stepNames.filter((name) => !documented.has(name))).toEqual([]);
    const stepLike = [...documented].filter((name) => /^[a-z-]+\.[a-z-]+$/.test(name) && !/\.(c|h|ts)$/.test(name));
    expect(stepLike.filter((name) => !stepNames.includes(name))).toEqual([]);
  });

  it('maps every hunk to code that exists and to a test that exists', () => {
    expect(hunks.length).toBeGreaterThan(30);
    for (const { hunk, here, test } of hunks) {
      const missing = names(here).filter(
        (name) => !stepNames.includes(name) && !new RegExp(`\\b${name.replace(/[^\w]/g, '\\$&')}\\b`).test(source),
      );
      expect(missing, hunk).toEqual([]);
      expect(tests.includes(`'${test}'`), `${hunk}: ${test}`).toBe(true);
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
    const mapped = hunks.map(({ hunk }) => hunk).join('\n');
    expect(added.filter((name) => !mapped.includes(name))).toEqual([]);
  });
});
