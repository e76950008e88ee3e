import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { SampleType } from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';
import { openCapture } from '../perf-data/capture.ts';
import type { RecoverSummary } from '../services/recover-rings.ts';
import { directoryWith, JOURNAL_NAME, ringImage, sideBandImage } from '../snapshot/testing/ring-files.ts';
import { CPU_CLOCK, ThreadRecords } from '../snapshot/testing/synthetic.ts';
import { addRecoverCommand } from './recover.ts';
import { addShowCommand } from './show.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringkeep-recover-'));
const output = join(folder, 'out.perf.data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const made: string[] = [];
afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

const main = new ThreadRecords(100, 100);
const worker = new ThreadRecords(100, 101);
// On this boot's clock, which was at 1 ms once.
const RECORDS = [main.comm(1_000_000n, 'main'), main.switched(1_000_010n, false), main.switched(1_000_030n, true)];
const FILES = {
  [JOURNAL_NAME]: sideBandImage([worker.comm(1_000_000n, 'worker')]),
  'web/software/100': ringImage(RECORDS),
  'web/software/101': ringImage([worker.switched(1_000_020n, false)], { tid: 101, comm: 'worker' }),
};

function place(files: Readonly<Record<string, Uint8Array>>): string {
  const directory = directoryWith(files);
  made.push(directory);
  return directory;
}

/** What `ringkeep COMMAND …` prints. */
async function printed(...args: string[]): Promise<string> {
  const texts: string[] = [];
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => texts.push(String(text)) > 0);
  try {
    const program = new Command().exitOverride();
    addRecoverCommand(program);
    addShowCommand(program);
    await program.parseAsync(args, { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return texts.join('');
}

async function recovered(directory: string): Promise<RecoverSummary> {
  return JSON.parse(await printed('recover', directory, '-o', output, '--json'));
}

async function codeOf(...args: string[]): Promise<string> {
  try {
    await printed(...args);
  } catch (error) {
    if (error instanceof RingkeepError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

describe('ringkeep recover', () => {
  test('saves the rings of the directory and prints their totals', async () => {
    const directory = place(FILES);
    expect(await recovered(directory)).toMatchObject({
      directory,
      snapshots: [{ path: output, rings: 2, records: 4, lost: 0, firstNs: '1000000', lastNs: '1000030' }],
      rings: 2,
      records: 4,
      lost: 0,
      spanNs: 30,
      unreadable: [],
      livingRecorder: null,
    });
    expect(openCapture(readFileSync(output)).section).toMatchObject({ reason: 'recover', cutNs: '1000030' });
    expect(await printed('recover', directory, '-o', output)).toBe(
      `ringkeep: 2 rings, 4 records, none lost, 30ns kept\n` +
        `ringkeep: saved: ${output} — read it with: ringkeep show ${output}\n`,
    );
  });

  test('names the unreadable files', async () => {
    const directory = place({ ...FILES, 'web/software/102': new Uint8Array(10).fill(7) });
    const path = join(directory, 'web/software/102');
    expect((await recovered(directory)).unreadable).toEqual([{ path, why: 'it is shorter than two pages' }]);
    expect(await printed('recover', directory, '-o', output)).toContain(`${path}: it is shorter than two pages\n`);
  });

  test('writes one more file for rings of another layout', async () => {
    const attr = { ...CPU_CLOCK.attr, sampleType: CPU_CLOCK.attr.sampleType & ~SampleType.cpu };
    const directory = place({ ...FILES, 'old/software/300': ringImage([], { tid: 300 }, [{ ...CPU_CLOCK, attr }]) });
    const { snapshots } = await recovered(directory);
    expect(snapshots.map(({ path, rings }) => [path, rings])).toEqual([
      [output, 2],
      [join(folder, 'out-2.perf.data'), 1],
    ]);
  });

  test.each([
    ['an empty directory', {}],
    ['a directory without a readable ring', { '100': new Uint8Array(20_000).fill(7) }],
  ])('refuses %s with a code', async (_, files) => {
    expect(await codeOf('recover', place(files), '-o', output)).toBe('no-rings');
    expect(await codeOf('show', place(files))).toBe('no-rings');
  });

  test.each(['link', 'directory'])(
    'finds the rings from the runtime directory, where `events` is a %s',
    async (kind) => {
      const runtime = mkdtempSync(join(folder, 'run-'));
      if (kind === 'link') symlinkSync(place(FILES), join(runtime, 'events'));
      else cpSync(place(FILES), join(runtime, 'events'), { recursive: true });
      expect(await recovered(runtime)).toMatchObject({ directory: runtime, rings: 2, records: 4, unreadable: [] });
      const report = JSON.parse(await printed('show', '--json', runtime));
      expect(report.threads.map(({ tid, comm }: { tid: number; comm: string }) => [tid, comm])).toEqual(
        expect.arrayContaining([
          [100, 'main'],
          [101, 'worker'],
        ]),
      );
    },
  );

  test('refuses an output that is one of the files it reads, also for the second of several', async () => {
    const attr = { ...CPU_CLOCK.attr, sampleType: CPU_CLOCK.attr.sampleType & ~SampleType.cpu };
    const other = ringImage([], { tid: 300 }, [{ ...CPU_CLOCK, attr }]);
    const directory = place({ ...FILES, 'web/software/300': other, 'web/software/301': new Uint8Array(10).fill(7) });
    const [first, second] = [join(folder, 'own.data'), join(folder, 'own-2.data')];
    for (const name of [JOURNAL_NAME, 'web/software/100', 'web/software/301'])
      expect(await codeOf('recover', directory, '-o', join(directory, name))).toBe('output-unwritable');
    symlinkSync(join(directory, 'web/software/101'), second);
    expect(await codeOf('recover', directory, '-o', first)).toBe('output-unwritable');
    expect(existsSync(first)).toBe(false);
    expect(readFileSync(join(directory, 'web/software/100'))).toEqual(Buffer.from(FILES['web/software/100']));
  });

  test('refuses a path that is no directory, and an output that cannot be written', async () => {
    expect(await codeOf('recover', '/nowhere', '-o', output)).toBe('capture-unreadable');
    expect(await codeOf('recover', place(FILES), '-o', '/nowhere/out')).toBe('output-unwritable');
  });
});

describe('ringkeep show', () => {
  test('of an event file shows that thread alone, with the mappings of the side-band log', async () => {
    const directory = place(FILES);
    expect(JSON.parse(await printed('show', '--json', join(directory, 'web/software/101')))).toMatchObject({
      reason: 'recover',
      threads: [{ tid: 101, comm: 'worker', switchesIn: 1 }],
    });
  });

  test("of a recorder's directory shows all its threads", async () => {
    const report = JSON.parse(await printed('show', '--json', place(FILES)));
    expect(report.threads.map(({ tid }: { tid: number }) => tid).sort()).toEqual([100, 101]);
    expect(report.momentNs).toBe('1000030');
  });

  test('refuses a damaged event file with a code', async () => {
    const [cut, unfinished] = [ringImage(RECORDS).subarray(0, 8192), ringImage(RECORDS, {}, [])];
    const directory = place({ cut, unfinished });
    expect(await codeOf('show', join(directory, 'cut'))).toBe('not-a-ring');
    expect(await codeOf('show', join(directory, 'unfinished'))).toBe('not-a-ring');
  });
});
