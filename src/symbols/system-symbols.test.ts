import { spawn, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JITDUMP_MAGIC } from '../abi/jitdump.ts';
import { KERNEL_DSO_NAME, VDSO_NAME } from '../abi/perf-data.ts';
import { exitOf, next } from '../base/testing/waiting.ts';
import { parseMaps } from '../linux/proc.ts';
import type { CodePlace, CodeSymbol } from './code-place.ts';
import type { ProgramLife } from './process-life.ts';
import { type RecordedSystem, SystemSymbols } from './system-symbols.ts';

/** A pid that no process has: above the highest of Linux. */
const PID = 2 ** 22 + 7;
const MAP = `/tmp/perf-${PID}.map`;
/** Recorded here, just now, by a process that is gone. */
const NOTHING_RECORDED: RecordedSystem = {
  osrelease: null,
  buildIds: new Map<string, string>(),
  kernelReference: null,
  isOfHere: true,
  startWallMs: Date.now() - 1000,
  endWallMs: Number.POSITIVE_INFINITY,
  wallMsOf: (timeNs) => Number(timeNs) / 1e6,
  lifeOf: (pid) => lifeOf(`${pid}`),
};
function lifeOf(key: string, fields: Partial<ProgramLife> = {}): ProgramLife {
  return { key, startMs: null, endMs: null, forkedFrom: null, ...fields };
}
const isRoot = process.getuid?.() === 0;

afterEach(() => rmSync(MAP, { force: true }));

function place(address: bigint, fields: Partial<CodePlace> = {}): CodePlace {
  return { address, isKernel: false, isReturnAddress: false, pid: PID, mapping: undefined, ...fields };
}

describe('code of a JIT compiler', () => {
  const nameOf = (address: bigint): [CodeSymbol | undefined, readonly string[]] => {
    const symbols = new SystemSymbols(NOTHING_RECORDED);
    return [symbols.nameOf(place(address)), symbols.problems];
  };

  test('has the name that the compiler left in /tmp', () => {
    writeFileSync(MAP, '7000 20 JS:*spin /nowhere/app.js:3:18\n8000 10 Builtin:ArrayMap\n');
    expect(nameOf(0x7004n)[0]).toMatchObject({
      name: 'spin',
      offset: 4,
      symbol: 'JS:*spin /nowhere/app.js:3:18',
      source: { file: '/nowhere/app.js', line: 3 },
    });
    expect(nameOf(0x8000n)[0]).toMatchObject({ name: 'Builtin:ArrayMap', source: null });
    expect(nameOf(0x9000n)).toEqual([undefined, []]);
  });

  test.skipIf(!isRoot)('has no name from a map that another user may have made (skipped unless root)', () => {
    writeFileSync(MAP, '7000 20 a_lie\n');
    chownSync(MAP, 65534, 65534);
    expect(nameOf(0x7004n)).toEqual([
      undefined,
      [`the names that a JIT compiler left for process ${PID} belong to another user`],
    ]);
  });

  test('has no name from a map that was not written while the process ran its program', () => {
    writeFileSync(MAP, '7000 20 work\n');
    const now = Date.now();
    const named = (life: Partial<ProgramLife>, where: Partial<RecordedSystem> = {}) => {
      const symbols = new SystemSymbols({ ...NOTHING_RECORDED, ...where, lifeOf: (pid) => lifeOf(`${pid}`, life) });
      return symbols.nameOf(place(0x7004n))?.name ?? symbols.problems;
    };
    const refused = (why: string) => [`the names that a JIT compiler left for process ${PID} ${why}`];
    const ofAnother = refused('belong to another process with the same PID: they were not written while it ran');
    const unknown = refused('are not used: they may be of an earlier or later process with the same PID');
    expect(named({ startMs: now - 5000, endMs: now })).toBe('work');
    expect(named({ startMs: now - 5000, endMs: now - 3000 })).toEqual(ofAnother);
    expect(named({ startMs: now + 5000, endMs: now + 6000 })).toEqual(ofAnother);
    expect(named({ startMs: now - 5000 }, { endWallMs: now - 3000 })).toEqual(ofAnother);
    expect(named({}, { startWallMs: now + 5000, endWallMs: now + 6000 })).toEqual(unknown);
    expect(named({ startMs: now - 5000 }, { endWallMs: null })).toEqual(unknown);
    expect(named({ startMs: now - 5000, endMs: now }, { isOfHere: false })).toEqual(
      refused('are not used: the capture is not known to be of this machine'),
    );
  });

  test('has the name of the map of a living process for what ran in that process only', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    const map = `/tmp/perf-${child.pid}.map`;
    try {
      writeFileSync(map, '7000 20 work\n');
      const named = (endWallMs: number) => {
        const symbols = new SystemSymbols({ ...NOTHING_RECORDED, startWallMs: 0, endWallMs });
        return symbols.nameOf(place(0x7004n, { pid: child.pid! }))?.name;
      };
      expect(named(Date.now())).toBe('work');
      expect(named(Date.now() - 60_000)).toBeUndefined();
      // A map that is older than the process.
      utimesSync(map, 1e9, 1e9);
      expect(named(Date.now())).toBeUndefined();
    } finally {
      child.kill();
      rmSync(map, { force: true });
    }
  });

  test('of a parent has its name in a child that runs the same program', () => {
    writeFileSync(MAP, '7000 20 work\n');
    const child = PID + 1;
    const forkedFrom = { pid: PID, timeNs: 5n };
    const recorded = (life: Partial<ProgramLife>): RecordedSystem => ({
      ...NOTHING_RECORDED,
      lifeOf: (pid) => lifeOf(`${pid}`, pid === child ? life : {}),
    });
    const found = new SystemSymbols(recorded({ forkedFrom })).nameOf(place(0x7004n, { pid: child }));
    expect(found).toMatchObject({ name: 'work', space: { kind: 'jit', pid: child } });
    expect(new SystemSymbols(recorded({})).nameOf(place(0x7004n, { pid: child }))).toBeUndefined();
  });

  test('has no name, without blocking, where the map is a FIFO', () => {
    expect(spawnSync('mkfifo', [MAP]).status).toBe(0);
    expect(nameOf(0x7004n)).toEqual([undefined, []]);
  });

  test('has no name where there is no map, or the link to one leads nowhere', () => {
    expect(nameOf(0x7004n)).toEqual([undefined, []]);
    symlinkSync('/nowhere/at/all', MAP);
    expect(nameOf(0x7004n)).toEqual([undefined, []]);
  });
});

/** The smallest dump: one function. */
function dumpOf(name: string, address: bigint): Buffer {
  const bytes = Buffer.alloc(40 + 16 + 40);
  bytes.writeUInt32LE(JITDUMP_MAGIC, 0);
  bytes.writeUInt32LE(1, 4);
  bytes.writeUInt32LE(40, 8);
  bytes.writeUInt32LE(16 + 40 + name.length + 1, 44);
  bytes.writeBigUInt64LE(address, 72);
  bytes.writeBigUInt64LE(32n, 80);
  return Buffer.concat([bytes, Buffer.from(`${name}\0`)]);
}

describe('what a JIT compiler dumped', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ringkeep-dump-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const places = () => ({ home: folder, debuginfodCache: null, cacheHome: null });
  const nameOf = (address: bigint, dumps: readonly string[]) => {
    const recorded = { ...NOTHING_RECORDED, jitDumps: new Map([[PID, dumps]]) };
    return new SystemSymbols(recorded, { places: places() }).nameOf(place(address))?.name;
  };

  test('is found where the process mapped it, the last first, and before the map', () => {
    const [first, last] = [join(folder, `jit-${PID}.dump`), join(folder, 'sub', `jit-${PID}.dump`)];
    mkdirSync(join(folder, 'sub'));
    writeFileSync(first, dumpOf('first', 0x7000n));
    writeFileSync(last, dumpOf('last', 0x7000n));
    writeFileSync(MAP, '7000 20 of_the_map\n9000 20 only_there\n');
    expect(nameOf(0x7004n, [first, last])).toBe('last');
    expect(nameOf(0x7004n, [first, join(folder, 'gone')])).toBe('first');
    expect(nameOf(0x9004n, [first])).toBe('only_there');
  });

  test('is found where perf’s agents put it', () => {
    for (const [date, name] of [
      ['20250101.aaa', 'older'],
      ['20250202.bbb', 'newer'],
    ] as const) {
      mkdirSync(join(folder, '.debug', 'jit', `java-jit-${date}`), { recursive: true });
      writeFileSync(join(folder, '.debug', 'jit', `java-jit-${date}`, `jit-${PID}.dump`), dumpOf(name, 0x7000n));
    }
    expect(nameOf(0x7004n, [])).toBe('newer');
  });

  test.skipIf(!isRoot)('gives no name when another user may have made it (skipped unless root)', () => {
    const dump = join(folder, `jit-${PID}.dump`);
    writeFileSync(dump, dumpOf('a_lie', 0x7000n));
    chownSync(dump, 65534, 65534);
    expect(nameOf(0x7004n, [dump])).toBeUndefined();
  });
});

const ownNamespaces = ['-m', '-p', '-f', '--mount-proc'];
const hasNamespaces = spawnSync('unshare', [...ownNamespaces, 'true']).status === 0;

test.skipIf(!hasNamespaces)(
  'the map of a process in a container is found there (skipped without namespaces)',
  async () => {
    const inside = 'mount -t tmpfs tmpfs /tmp && echo "7000 20 inside" > /tmp/perf-1.map && echo ready && read line';
    const child = spawn('unshare', [...ownNamespaces, 'sh', '-c', inside], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await next(child.stdout, 'data', 'the container to be ready');
      const pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim());
      const symbols = new SystemSymbols({ ...NOTHING_RECORDED, startWallMs: 0 });
      expect(symbols.nameOf(place(0x7004n, { pid }))?.name).toBe('inside');
    } finally {
      child.stdin.end();
      await exitOf(child, 'the container');
    }
  },
);

describe('files', () => {
  const mapping = (file: string) => ({ start: 0x1000n, fileOffset: 0n, file, buildId: null });

  test('that cannot be read, are no programs, or are not the recorded ones give no symbols, each with a reason', () => {
    const recorded = { ...NOTHING_RECORDED, buildIds: new Map([[process.execPath, 'abcdef']]) };
    const places = { home: null, debuginfodCache: null, cacheHome: null };
    const symbols = new SystemSymbols(recorded, { places });
    for (const file of ['/nowhere/app', '/etc/passwd', process.execPath, '/nowhere/app', '/usr'])
      expect(symbols.nameOf(place(0x1010n, { mapping: mapping(file) }))).toBeUndefined();
    expect(symbols.problems).toEqual([
      'no names from /nowhere/app: it cannot be read here',
      'no names from /etc/passwd: it has no symbols',
      `no names from ${process.execPath}: it is not the recorded file`,
      'no names from /usr: it cannot be read here',
    ]);
  });

  test.skipIf(!existsSync('/proc/self/maps'))(
    'of the kernel’s own making, the vdso, are named under the same kernel only',
    () => {
      const vdso = parseMaps(readFileSync('/proc/self/maps', 'latin1')).find(({ path }) => path === VDSO_NAME)!;
      const named = (osrelease: string) => {
        const symbols = new SystemSymbols({ ...NOTHING_RECORDED, osrelease });
        const names = new Set<string | undefined>();
        for (let address = vdso.start; address < vdso.end; address += 16n)
          names.add(symbols.nameOf(place(address, { mapping: { ...mapping(VDSO_NAME), start: vdso.start } }))?.name);
        return [[...names].filter((name) => name !== undefined), symbols.problems] as const;
      };
      expect(named(release())[0].join()).toMatch(/clock_gettime/);
      expect(named('2.6.32')).toEqual([[], [`no names from ${VDSO_NAME}: it is not the recorded file`]]);
    },
  );
});

describe('the kernel', () => {
  const kernel = (address: bigint) => place(address, { isKernel: true });
  const listed = /^([0-9a-f]+) T _text$/m.exec(
    existsSync('/proc/kallsyms') ? readFileSync('/proc/kallsyms', 'latin1') : '',
  )?.[1];
  const text = BigInt(`0x${listed ?? 0}`);
  const here = { ...NOTHING_RECORDED, osrelease: release() };

  test('that is not the recorded one, or whose place is unknown, gives no symbols, which is reported once', () => {
    const unknown = new SystemSymbols(here);
    const other = new SystemSymbols({
      ...here,
      buildIds: new Map([[KERNEL_DSO_NAME, '00'.repeat(20)]]),
      kernelReference: { symbol: '_text', address: 0xffffffff81000000n },
    });
    for (const symbols of [unknown, other, unknown, other]) expect(symbols.nameOf(kernel(text + 64n))).toBeUndefined();
    expect(unknown.problems).toEqual([
      'kernel functions have no names: the capture does not record where the kernel was',
    ]);
    expect(other.problems).toEqual([
      'kernel functions have no names: it was recorded under another kernel than the running one',
    ]);
  });

  test.skipIf(text === 0n)('has the same names wherever it was loaded (skipped where its addresses are hidden)', () => {
    const shift = 0x1000000n;
    const nameIn = (address: bigint, reference: bigint) =>
      new SystemSymbols({ ...here, kernelReference: { symbol: '_text', address: reference } }).nameOf(kernel(address));
    const name = nameIn(text + 0x5000n, text);
    expect(name).toBeDefined();
    // The same function, which begins so much earlier.
    const moved = nameIn(text + 0x5000n - shift, text - shift);
    expect(moved).toEqual({ ...name, start: name!.start - Number(shift) });
  });
});
