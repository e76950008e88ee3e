import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { addShowCommand } from './show.ts';

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-show-'));
const capture = join(directory, 'perf.data');
const other = join(directory, 'notes.txt');
const perfDirectory = join(directory, 'threads.data');

beforeAll(() => {
  const builder = new CaptureBuilder().comm({ pid: 100, tid: 100 }, 1n, 'node').switchIn({ pid: 100, tid: 101 }, 2n);
  writeFileSync(capture, builder.signal({ pid: 100, tid: 101 }, 50n, 11).build());
  mkdirSync(perfDirectory);
  writeFileSync(join(perfDirectory, 'data'), builder.build());
  writeFileSync(other, 'nothing to see, at some length');
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What `ringkeep show …` prints. */
async function show(...args: string[]): Promise<string> {
  const printed: string[] = [];
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
  try {
    const program = new Command().exitOverride();
    addShowCommand(program);
    await program.parseAsync(['show', ...args], { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return printed.join('');
}

async function codeOf(...args: string[]): Promise<string> {
  try {
    await show(...args);
  } catch (error) {
    if (error instanceof RingkeepError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

describe('ringkeep show', () => {
  test('prints the post-mortem as text', async () => {
    expect(await show(capture)).toMatch(/^pid 100 \(node\) died of SIGSEGV in thread 101/);
  });

  test('prints one JSON value with --json', async () => {
    expect(JSON.parse(await show(capture, '--json'))).toMatchObject({
      death: { pid: 100, tid: 101, signal: 'SIGSEGV' },
      threads: [{ tid: 101, onCpuNs: 48 }, { tid: 100 }],
    });
  });

  test('selects one thread and a time range', async () => {
    const report = JSON.parse(await show(capture, '--json', '--tid', '101', '--last', '10ns'));
    expect(report).toMatchObject({ windowNs: 10, threads: [{ tid: 101, onCpuNs: 10, switchesIn: 0 }] });
  });

  test('--tree prints call trees, and adds them to the JSON', async () => {
    expect(await show(capture, '--tree')).toMatch(/^signal:signal_deliver: 1 samples?\n/);
    expect(JSON.parse(await show(capture, '--tree', '--json')).trees).toMatchObject([{ unit: 'samples', total: 1 }]);
    expect(await show(capture, '--tree', '--tid', '100')).toBe('no samples: there is no tree to show\n');
  });

  test('selects the threads of a process', async () => {
    const report = JSON.parse(await show(capture, '--json', '--pid', '100', '--comm', '*'));
    expect(report.threads.map(({ tid }: { tid: number }) => tid)).toEqual([100]);
  });

  test('selects threads by name', async () => {
    const report = JSON.parse(await show(capture, '--json', '--comm', 'no?e'));
    expect(report.threads.map(({ tid }: { tid: number }) => tid)).toEqual([100]);
    expect(report.totals.threads).toBe(2);
  });

  test.each([
    ['a file that is not there', [join(directory, 'absent')], 'capture-unreadable'],
    ['a directory without rings', [directory], 'no-rings'],
    ['a directory of files of perf', [perfDirectory], 'unsupported-capture'],
    ['another file', [other], 'not-a-capture'],
    ['a device without an end', ['/dev/zero'], 'not-a-capture'],
    ['a thread that is not in it', [capture, '--tid', '4242'], 'no-such-thread'],
    ['a name that no thread has', [capture, '--comm', 'python*'], 'no-such-thread'],
    ['a thread of another process', [capture, '--pid', '7', '--tid', '101'], 'no-such-thread'],
    ['a pid that is none', [capture, '--pid', '-1'], 'bad-argument'],
    ['a tid that is none', [capture, '--tid', 'main'], 'bad-argument'],
    ['a duration that is none', [capture, '--last', 'soon'], 'bad-duration'],
  ])('refuses %s with a code', async (_, args, code) => {
    expect(await codeOf(...args)).toBe(code);
  });
});
