import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Command } from 'commander';
import { Profile } from 'pprof-format';
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { twoThreads } from '../export/testing/fixtures.ts';
import { ReplacingFile } from '../snapshot/replacing-file.ts';
import { directoryWith, JOURNAL_NAME, ringImage, sideBandImage } from '../snapshot/testing/ring-files.ts';
import { ThreadRecords } from '../snapshot/testing/synthetic.ts';
import { addExportCommand } from './export.ts';

let directory: string;
let capture: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ringkeep-export-'));
  capture = join(directory, 'perf.data');
  writeFileSync(capture, twoThreads().build());
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Said {
  readonly stdout: string;
  readonly stderr: string;
}

/** What `ringkeep export …` says. */
async function runExport(...args: string[]): Promise<Said> {
  const said = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      said[name] += String(text);
      return true;
    }),
  );
  try {
    const program = new Command().exitOverride();
    addExportCommand(program);
    await program.parseAsync(['export', ...args], { from: 'user' });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return said;
}

async function codeOf(...args: string[]): Promise<string> {
  try {
    await runExport(...args);
  } catch (error) {
    if (error instanceof RingkeepError) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

/** Another name for `path`. */
function linked(make: (target: string, path: string) => void, path: string): string {
  const name = join(directory, 'other-name');
  make(path, name);
  return name;
}

describe('ringkeep export', () => {
  it('prints the path of the file and its viewer', async () => {
    const output = join(directory, 'trace');
    const { stdout } = await runExport(capture, '--to', 'perfetto', '-o', output);
    expect(stdout).toMatch(/^ringkeep: saved: .*trace \(\S+KiB\) — open it in https:\/\/ui\.perfetto\.dev\n$/);
    expect(statSync(output).mode & 0o777).toBe(0o600);
  });

  it('replaces an existing file, and the target of a link', async () => {
    const output = join(directory, 'stacks');
    const link = join(directory, 'link');
    writeFileSync(output, 'old');
    symlinkSync(output, link);
    await runExport(capture, '--to', 'collapsed', '-o', link);
    expect(readFileSync(output, 'utf8')).toMatch(/^main;/);
  });

  it('exports the selection only', async () => {
    const output = join(directory, 'stacks');
    await runExport(capture, '--to', 'collapsed', '-o', output, '--pid', '100', '--comm', 'w*', '--last', '5us');
    expect(readFileSync(output, 'utf8')).toBe(
      'worker;[cpu-clock];libwork.so+0x1050 1\nworker;[signal:signal_deliver] 1\n',
    );
  });

  it('compresses pprof, as its readers expect', async () => {
    const output = join(directory, 'profile');
    await runExport(capture, '--to', 'pprof', '-o', output);
    expect(Profile.decode(gunzipSync(readFileSync(output))).sample).toHaveLength(4);
  });

  it.each([
    [true, '\r\x1b[Kringkeep: exporting, 0 %\r\x1b[Kringkeep: exporting, 100 %\r\x1b[K'],
    [false, ''],
  ])('shows progress on a terminal only: %s', async (isTty, expected) => {
    const before = process.stderr.isTTY;
    process.stderr.isTTY = isTty;
    try {
      const { stderr } = await runExport(capture, '--to', 'firefox', '-o', join(directory, 'out'));
      expect(stderr).toBe(expected);
    } finally {
      process.stderr.isTTY = before;
    }
  });
});

describe('ringkeep export refuses', () => {
  const output = () => join(directory, 'out');

  it.each([
    ['a thread that is not there', () => [capture, '--to', 'pprof', '-o', output(), '--tid', '7'], 'no-such-thread'],
    ['an unknown format', () => [capture, '--to', 'svg', '-o', output()], 'bad-argument'],
    [
      'a file that is not there',
      () => [join(directory, 'absent'), '--to', 'pprof', '-o', output()],
      'capture-unreadable',
    ],
    [
      'a directory to write in that is not there',
      () => [capture, '--to', 'pprof', '-o', join(directory, 'no', 'out')],
      'output-unwritable',
    ],
    ['an output that is a directory', () => [capture, '--to', 'pprof', '-o', directory], 'output-unwritable'],
    ['a device as the output', () => [capture, '--to', 'pprof', '-o', '/dev/null'], 'output-unwritable'],
  ])('%s with a code, and writes nothing', async (_, args, code) => {
    expect(await codeOf(...args())).toBe(code);
    expect(readdirSync(directory)).toEqual(['perf.data']);
  });

  it.each([
    ['its own name', (path: string) => path],
    ['a symbolic link', (path: string) => linked(symlinkSync, path)],
    ['a hard link', (path: string) => linked(linkSync, path)],
  ])('an output that is the capture itself, by %s, and the capture is unchanged', async (_, nameOf) => {
    const before = readFileSync(capture);
    const name = nameOf(capture);
    for (const [input, to] of [
      [capture, name],
      [name, capture],
    ] as const)
      expect(await codeOf(input, '--to', 'perfetto', '-o', to)).toBe('output-unwritable');
    expect(readFileSync(capture).equals(before)).toBe(true);
  });

  it('an output that is one of the rings or side-band logs of the directory', async () => {
    const files = {
      [JOURNAL_NAME]: sideBandImage([]),
      'web/software/100': ringImage([new ThreadRecords(100, 100).switched(1000n, false)]),
    };
    const rings = directoryWith(files);
    try {
      for (const name of Object.keys(files))
        expect(await codeOf(rings, '--to', 'perfetto', '-o', join(rings, name))).toBe('output-unwritable');
      expect(await codeOf(rings, '--to', 'perfetto', '-o', join(rings, 'web/trace'))).toBe('nothing thrown');
      expect(readFileSync(join(rings, 'web/software/100'))).toEqual(Buffer.from(files['web/software/100']!));
    } finally {
      rmSync(rings, { recursive: true });
    }
  });

  it('a file that is no capture, and the output is unchanged', async () => {
    const other = join(directory, 'notes');
    writeFileSync(other, 'nothing to see, at some length');
    writeFileSync(output(), 'old');
    expect(await codeOf(other, '--to', 'collapsed', '-o', output())).toBe('not-a-capture');
    expect(readFileSync(output(), 'utf8')).toBe('old');
  });
});

test('a write that fails halfway leaves neither the file nor its temporary file', () => {
  const output = join(directory, 'out');
  const file = new ReplacingFile(output);
  file.write(new Uint8Array(10));
  file.dispose();
  expect(existsSync(output)).toBe(false);
  expect(readdirSync(directory)).toEqual(['perf.data']);
});
