import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  JITDUMP_ARCH_TIMESTAMP,
  JITDUMP_DEBUG_ENTRY_FIELDS,
  JITDUMP_DEBUG_FIELDS,
  JITDUMP_HEADER_FIELDS,
  JITDUMP_LOAD_FIELDS,
  JITDUMP_MAGIC,
  JITDUMP_MOVE_FIELDS,
  JITDUMP_RECORD_FIELDS,
  JITDUMP_SAME_FILE,
  JitdumpRecord,
} from '../abi/jitdump.ts';
import { encodeStruct, type ScalarField, structBytes } from '../abi/layout.ts';
import { type JitCode, jitDumpCode } from './jit-dump.ts';

/** The fields that are given; the others are 0. */
function encoded(fields: readonly ScalarField[], values: Readonly<Record<string, number | bigint>>): Buffer {
  const bytes = Buffer.alloc(structBytes(fields));
  const zeros = Object.fromEntries(fields.map(([name, kind]) => [name, kind.endsWith('64') ? 0n : 0]));
  encodeStruct(fields, { ...zeros, ...values }, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0);
  return bytes;
}

function head(flags = 0n): Buffer {
  const totalSize = structBytes(JITDUMP_HEADER_FIELDS);
  return encoded(JITDUMP_HEADER_FIELDS, { magic: JITDUMP_MAGIC, version: 1, totalSize, flags });
}

function recordOf(id: number, timestamp: bigint, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const totalSize = structBytes(JITDUMP_RECORD_FIELDS) + body.length;
  return Buffer.concat([encoded(JITDUMP_RECORD_FIELDS, { id, totalSize, timestamp }), body]);
}

function load(timeNs: bigint, address: number, bytes: number, name: string, index = 0): Buffer {
  const fields = { codeAddress: BigInt(address), codeSize: BigInt(bytes), codeIndex: BigInt(index) };
  const code = new Uint8Array(Math.min(bytes, 64)).fill(0x90);
  return recordOf(JitdumpRecord.load, timeNs, encoded(JITDUMP_LOAD_FIELDS, fields), Buffer.from(`${name}\0`), code);
}

function move(timeNs: bigint, to: number, bytes: number, index: number): Buffer {
  const fields = { newCodeAddress: BigInt(to), codeSize: BigInt(bytes), codeIndex: BigInt(index) };
  return recordOf(JitdumpRecord.move, timeNs, encoded(JITDUMP_MOVE_FIELDS, fields));
}

function lines(address: number, ...entries: [address: number, line: number, file: string | null][]): Buffer {
  const fields = { codeAddress: BigInt(address), entryCount: BigInt(entries.length) };
  const parts = entries.map(([at, line, file]) =>
    Buffer.concat([
      encoded(JITDUMP_DEBUG_ENTRY_FIELDS, { codeAddress: BigInt(at), line }),
      file === null ? Buffer.from([JITDUMP_SAME_FILE, 0]) : Buffer.from(`${file}\0`),
    ]),
  );
  return recordOf(JitdumpRecord.debugInfo, 0n, encoded(JITDUMP_DEBUG_FIELDS, fields), ...parts);
}

function codeOf(parts: readonly Uint8Array[], hasTimes = true): JitCode | undefined {
  const bytes = Buffer.concat(parts);
  return jitDumpCode((offset, length) => bytes.subarray(offset, offset + length), hasTimes);
}

const nameAt = (code: JitCode | undefined, address: number, timeNs?: bigint) => code!.table.find(address, timeNs)?.name;

describe('the dump of a JIT compiler', () => {
  test('names code from the moment on at which it was loaded', () => {
    const code = codeOf([head(), load(100n, 0x1000, 32, 'first')]);
    expect(nameAt(code, 0x1010, 99n)).toBeUndefined();
    expect(nameAt(code, 0x1010, 100n)).toBe('first');
    expect(nameAt(code, 0x1020, 100n)).toBeUndefined();
  });

  test('names memory that was used again by the time that is asked for', () => {
    const code = codeOf([head(), load(100n, 0x1000, 32, 'old'), load(200n, 0x1008, 32, 'new')]);
    expect([100n, 199n, 200n, 0n].map((timeNs) => nameAt(code, 0x1010, timeNs))).toEqual(['old', 'old', 'new', 'new']);
    expect(nameAt(code, 0x1004, 300n)).toBe('old');
    expect([99n, 100n, 200n].map((timeNs) => code!.table.changesUntil(timeNs))).toEqual([0, 1, 2]);
  });

  test('knows code under its name where it was moved to, and as what replaced other code there', () => {
    const code = codeOf([
      head(),
      load(100n, 0x1000, 16, 'moved', 7),
      load(110n, 0x2000, 16, 'other', 8),
      move(200n, 0x2000, 16, 7),
      move(210n, 0x3000, 16, 99),
    ]);
    expect([nameAt(code, 0x1000, 150n), nameAt(code, 0x2000, 150n)]).toEqual(['moved', 'other']);
    expect(nameAt(code, 0x2008, 200n)).toBe('moved');
    expect(nameAt(code, 0x3000, 300n)).toBeUndefined();
  });

  test('gives the line at which code begins to the load that follows', () => {
    const code = codeOf([
      head(),
      lines(0x1000, [0x1008, 12, 'a.py'], [0x1000, 10, null], [0x1010, 14, 'inlined.py']),
      load(100n, 0x1000, 32, 'f'),
      load(100n, 0x2000, 32, 'g'),
    ]);
    expect(code!.sourceOf(code!.table.find(0x1000)!.index)).toEqual({ file: 'a.py', line: 10 });
    expect(code!.sourceOf(code!.table.find(0x2000)!.index)).toBeUndefined();
  });

  test('skips unknown records, and a close, which others may follow', () => {
    const others = [recordOf(JitdumpRecord.close, 0n), recordOf(99, 0n, Buffer.from('whatever'))];
    expect(nameAt(codeOf([head(), ...others, load(1n, 0x1000, 8, 'f')]), 0x1000)).toBe('f');
  });

  test('gives the newest code where its times are of a CPU’s clock, or those asked for of another clock', () => {
    const records = [load(200n, 0x1000, 32, 'later'), load(100n, 0x1000, 32, 'earlier')];
    for (const code of [codeOf([head(JITDUMP_ARCH_TIMESTAMP), ...records]), codeOf([head(), ...records], false)])
      expect(nameAt(code, 0x1000, 150n)).toBe('later');
  });

  test('is rejected with another magic, or the other byte order', () => {
    expect(codeOf([Buffer.alloc(100)])).toBeUndefined();
    const swapped = head();
    swapped.writeUInt32BE(JITDUMP_MAGIC, 0);
    expect(codeOf([swapped])).toBeUndefined();
    expect(codeOf([head().subarray(0, 20)])).toBeUndefined();
  });
});

const loads = fc.array(
  fc.record({ address: fc.integer({ min: 0x1000, max: 0x1080 }), bytes: fc.nat(40), timeNs: fc.bigInt(1n, 60n) }),
  { maxLength: 20 },
);

describe('for all dumps', () => {
  test('an address has the name of the last code that was put over it by then', () => {
    fc.assert(
      fc.property(loads, fc.integer({ min: 0xff0, max: 0x10c0 }), fc.bigInt(1n, 100n), (given, address, timeNs) => {
        const code = codeOf([
          head(),
          ...given.map((each, i) => load(each.timeNs * 100n, each.address, each.bytes, `f${i}`)),
        ]);
        const covering = given
          .map((each, order) => ({ ...each, order }))
          .filter((each) => each.address <= address && address < each.address + each.bytes && each.timeNs <= timeNs)
          .sort((a, b) => Number(a.timeNs - b.timeNs) || a.order - b.order);
        const newest = covering.at(-1);
        // Times are far enough apart that equal ones, made distinct by their order, stay below the next.
        expect(nameAt(code, address, timeNs * 100n + 99n)).toBe(newest && `f${newest.order}`);
      }),
    );
  });

  test('one that is cut is read as far as its records are whole', () => {
    fc.assert(
      fc.property(loads, fc.nat(), (given, cut) => {
        const parts = [head(), ...given.map((each, i) => load(each.timeNs, each.address, each.bytes, `f${i}`))];
        const bytes = Buffer.concat(parts);
        const length = cut % (bytes.length + 1);
        const code = codeOf([bytes.subarray(0, length)]);
        if (length < parts[0]!.length) {
          expect(code).toBeUndefined();
          return;
        }
        let at = parts[0]!.length;
        const whole = parts.slice(1).filter((part) => {
          at += part.length;
          return at <= length;
        });
        // Of the one that is cut the name may be there, and only its code is missing.
        expect([whole.length, whole.length + 1]).toContain(code!.table.size);
      }),
    );
  });

  test('any bytes behind the head give code or none, and no exception', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 60 }),
            loads.map((all) => Buffer.concat(all.map((each) => load(each.timeNs, each.address, each.bytes, 'f')))),
          ),
        ),
        (parts) => {
          expect(codeOf([head(), ...parts])).toBeDefined();
        },
      ),
    );
  });

  test('is read no further than a number of records, of whatever kind', () => {
    const record = recordOf(7, 0n);
    const start = head();
    let reads = 0;
    const endless = (offset: number, length: number): Uint8Array => {
      reads++;
      return offset === 0 ? start.subarray(0, length) : record.subarray(0, length);
    };
    expect(jitDumpCode(endless, true)?.table.size).toBe(0);
    expect(reads).toBeLessThanOrEqual(2 ** 20 + 1);
  });
});
