import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeRecord } from '../abi/record.ts';
import { Misc, type RecordBody } from '../abi/record-table.ts';
import { OVERLAYFS } from '../linux/regular-file.ts';
import { BuildIdCollector, isAnother } from './build-ids.ts';
import { CPU_CLOCK } from './testing/synthetic.ts';

let folder: string;
let program: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringkeep-build-ids-'));
  program = join(folder, 'program');
  copyFileSync(process.execPath, program);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PROT_EXEC = 4;
const NOW = { clockid: 1, wallNs: BigInt(Date.now() + 3_600_000) * 1_000_000n, clockNs: 10_000_000_000_000n };

function idsOf(body: Partial<RecordBody<'MMAP2'>>, misc = 0, time = NOW.clockNs): string[] {
  const collector = new BuildIdCollector(CPU_CLOCK.attr);
  const bytes = encodeRecord('MMAP2', { prot: PROT_EXEC, ...body }, { time }, CPU_CLOCK.attr, Misc.user | misc);
  collector.add(new DataView(bytes.buffer), 0);
  return collector.read(NOW).map(({ file, buildId }) => `${file} ${buildId.length / 2}`);
}

function withInode(inode: bigint): Uint8Array {
  const object = new Uint8Array(24);
  new DataView(object.buffer).setBigUint64(8, inode, true);
  return object;
}

describe('the build ids of mapped files', () => {
  it('are those of files that code runs from', () => {
    expect(idsOf({ filename: program })).toEqual([`${program} 20`]);
    expect(idsOf({ filename: program, prot: 1 })).toEqual([]);
  });

  it('are left out for mappings without a file, for files that are not ELF, and for deleted files', () => {
    writeFileSync(join(folder, 'text'), 'not a program');
    for (const filename of ['//anon', '[heap]', '[stack]', '/memfd:jit (deleted)', '/dev/zero', folder])
      expect(idsOf({ filename })).toEqual([]);
    expect(idsOf({ filename: join(folder, 'text') })).toEqual([]);
    expect(idsOf({ filename: join(folder, 'gone') })).toEqual([]);
  });

  it('are left out for a file that was replaced or written since it was mapped', () => {
    const { ino } = statSync(program, { bigint: true });
    const longAgo = 1n;
    expect(idsOf({ filename: program, object: withInode(ino) })).toEqual([`${program} 20`]);
    expect(idsOf({ filename: program, object: withInode(ino) }, 0, longAgo)).toEqual([]);
    expect(idsOf({ filename: program, object: withInode(ino + 1n) }, 0, longAgo)).toEqual([]);
  });

  it('are taken in spite of another inode on overlayfs only, when the file is older than the mapping', () => {
    const status = { ino: 1n, mtimeNs: NOW.wallNs - 50n, ctimeNs: NOW.wallNs - 10n };
    const mapped = (inode: bigint, agoNs: bigint) => ({ inode, timeNs: NOW.clockNs - agoNs });
    expect(isAnother(mapped(2n, 5n), status, OVERLAYFS, NOW)).toBe(false);
    expect(isAnother(mapped(2n, 20n), status, OVERLAYFS, NOW)).toBe(true);
    // Another file at that path: the process has a mount namespace of its own.
    expect(isAnother(mapped(2n, 5n), status, 0, NOW)).toBe(true);
    expect(isAnother(mapped(1n, 20n), status, 0, NOW)).toBe(false);
    expect(isAnother(mapped(1n, 60n), status, 0, NOW)).toBe(true);
  });

  it('are left out for a file of which mappings show two contents', () => {
    const { ino } = statSync(program, { bigint: true });
    const collector = new BuildIdCollector(CPU_CLOCK.attr);
    for (const inode of [ino + 1n, ino]) {
      const body = { prot: PROT_EXEC, filename: program, object: withInode(inode) };
      const bytes = encodeRecord('MMAP2', body, { time: NOW.clockNs }, CPU_CLOCK.attr, Misc.user);
      collector.add(new DataView(bytes.buffer), 0);
    }
    expect(collector.read(NOW)).toEqual([]);
  });

  it('are taken from the mapping where the kernel put them there', () => {
    const object = new Uint8Array(24);
    object[0] = 16;
    object.fill(7, 4, 20);
    expect(idsOf({ filename: '/not/here', object }, Misc.mmapBuildId)).toEqual(['/not/here 16']);
    // An inode that is marked as an id, because another tool's event asks for ids.
    const { ino } = statSync(program, { bigint: true });
    const inode = withInode(ino);
    inode[0] = 8;
    inode.fill(9, 16, 20);
    expect(idsOf({ filename: program, object: inode }, Misc.mmapBuildId)).toEqual([`${program} 20`]);
  });
});
