import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
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
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { writeSnapshot } from './snapshot.ts';
import { ringImage } from './testing/ring-files.ts';
import { input, ThreadRecords, task } from './testing/synthetic.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringkeep-file-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function refusal(path: string): RingkeepError {
  try {
    writeSnapshot(path, input({}));
  } catch (error) {
    if (error instanceof RingkeepError) return error;
    throw error;
  }
  throw new Error('the snapshot was written');
}

describe('the file of a snapshot', () => {
  it('is readable by its owner only and has no temporary file beside it', () => {
    const path = join(folder, 'out.data');
    const { bytes } = writeSnapshot(path, input({}));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(path).size).toBe(bytes);
    expect(readdirSync(folder)).toEqual(['out.data']);
  });

  it('replaces an existing file, and the file behind a link rather than the link', () => {
    const path = join(folder, 'out.data');
    writeFileSync(path, 'old');
    chmodSync(path, 0o644);
    symlinkSync(path, join(folder, 'latest'));
    writeSnapshot(join(folder, 'latest'), input({}));
    expect(readFileSync(path).subarray(0, 8).toString()).toBe('PERFILE2');
    expect(readdirSync(folder).sort()).toEqual(['latest', 'out.data']);
  });

  it('never replaces a ring, such as the event file of a recorder', () => {
    const ring = join(folder, '100');
    const image = ringImage([]);
    writeFileSync(ring, image);
    symlinkSync(ring, join(folder, 'latest'));
    for (const path of [ring, join(folder, 'latest')])
      expect(refusal(path)).toMatchObject({ code: 'output-unwritable', details: { path, input: path } });
    expect(readFileSync(ring)).toEqual(Buffer.from(image));
  });

  it('refuses a folder that does not exist, with the errno as cause', () => {
    const path = join(folder, 'absent', 'out.data');
    const error = refusal(path);
    expect(error).toMatchObject({ code: 'output-unwritable', details: { path, errno: 'ENOENT' } });
    expect(error.cause).toBeInstanceOf(Error);
  });

  it('refuses a directory and a device, and leaves them alone', () => {
    mkdirSync(join(folder, 'directory'));
    expect(refusal(join(folder, 'directory')).code).toBe('output-unwritable');
    expect(refusal('/dev/null').code).toBe('output-unwritable');
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
    expect(readdirSync(folder)).toEqual(['directory']);
  });

  it('leaves what was there, and nothing else, when the rings cannot be read', () => {
    const path = join(folder, 'out.data');
    writeFileSync(path, 'old');
    function* tasks() {
      yield task(1, 1, 'a', [new ThreadRecords(1, 1).switched(5n, true)]);
      throw new RingkeepError('ring-directory', 'gone');
    }
    expect(() => writeSnapshot(path, input({ tasks: tasks() }))).toThrow('gone');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['out.data']);
  });

  it('removes what it wrote when the disk fills up on the way', (context) => {
    const mount = join(folder, 'small');
    mkdirSync(mount);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mount], { stdio: 'ignore' });
    } catch {
      context.skip('mounting a small tmpfs takes root');
    }
    try {
      const thread = new ThreadRecords(1, 1);
      const records = Array.from({ length: 4000 }, (_, index) => thread.switched(BigInt(index + 1), true));
      const path = join(mount, 'out.data');
      expect(() => writeSnapshot(path, input({ tasks: [task(1, 1, 'a', records)] }))).toThrow(
        expect.objectContaining({ code: 'output-unwritable', details: { path, errno: 'ENOSPC' } }),
      );
      expect(readdirSync(mount)).toEqual([]);
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  it('holds records longer than the copying loop and files longer than the buffer', () => {
    const thread = new ThreadRecords(1, 1);
    const ips = Array.from({ length: 500 }, (_, index) => BigInt(index + 1));
    const records = Array.from({ length: 600 }, (_, index) => thread.sample(BigInt(index + 1), ...ips));
    const { bytes } = writeSnapshot(join(folder, 'out.data'), input({ tasks: [task(1, 1, 'a', records)] }));
    const file = readFileSync(join(folder, 'out.data'));
    expect(file.length).toBe(bytes);
    expect(bytes).toBeGreaterThan(2 << 20);
    const dataOffset = Number(file.readBigUInt64LE(40));
    // The synthesized COMM comes first.
    const first = dataOffset + file.readUInt16LE(dataOffset + 6);
    expect(file.subarray(first, first + records[0]!.length)).toEqual(Buffer.from(records[0]!));
  });
});
