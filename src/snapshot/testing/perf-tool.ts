/**
 * The peers that tests compare with: perf and readelf as they are installed, and perf.data files read record by record.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { decodeAttr, type EventAttr } from '../../abi/event-attr.ts';
import { decodeStruct, type StructOf } from '../../abi/layout.ts';
import { FEATURE_BITS, FILE_HEADER_FIELDS, SECTION_BYTES, SECTION_FIELDS } from '../../abi/perf-data.ts';
import { decodeRecord, type PerfRecord } from '../../abi/record.ts';
import { RUN_PATIENCE_MS } from '../../base/testing/waiting.ts';

export interface ToolOutput {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, without a pager and in UTC. One that takes too long is killed, which is an error. */
export function run(program: string, ...args: readonly string[]): ToolOutput {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    timeout: RUN_PATIENCE_MS,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PERF_PAGER: 'cat', TZ: 'UTC' },
    maxBuffer: 1 << 28,
  });
  // One that is missing has no status; tests ask with `isInstalled`.
  if (error && !('code' in error && error.code === 'ENOENT'))
    throw new Error(`${program} ${args.join(' ')}: ${error.message}`, { cause: error });
  return { status, stdout: stdout ?? '', stderr: stderr ?? '' };
}

export function isInstalled(program: string): boolean {
  return run(program, '--version').status === 0;
}

/** A perf.data file, opened. */
export class PerfDataImage {
  readonly header: StructOf<typeof FILE_HEADER_FIELDS>;
  readonly attr: EventAttr;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(path: string) {
    this.bytes = new Uint8Array(readFileSync(path));
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    this.header = decodeStruct(FILE_HEADER_FIELDS, this.view, 0);
    this.attr = decodeAttr(this.view, Number(this.header.attrsOffset), 128);
  }

  /** Every record of the data, in file order, by the first event's attr. */
  records(): PerfRecord[] {
    const records: PerfRecord[] = [];
    const end = Number(this.header.dataOffset + this.header.dataSize);
    for (let at = Number(this.header.dataOffset); at < end; at += records.at(-1)!.size)
      records.push(decodeRecord(this.view, at, this.attr));
    return records;
  }

  /** The bytes of every record, in file order. */
  recordBytes(): Uint8Array[] {
    let at = Number(this.header.dataOffset);
    return this.records().map(({ size }) => {
      at += size;
      return this.bytes.subarray(at - size, at);
    });
  }

  /** The section of a feature, undefined where the file has none. */
  feature(wanted: number): Uint8Array | undefined {
    const { features0, features1, features2, features3 } = this.header;
    const words = [features0, features1, features2, features3];
    let place = Number(this.header.dataOffset + this.header.dataSize);
    for (let bit = 0; bit < FEATURE_BITS; bit++) {
      if (!((words[bit >>> 6]! >> BigInt(bit & 63)) & 1n)) continue;
      const { offset, size } = decodeStruct(SECTION_FIELDS, this.view, place);
      if (bit === wanted) return this.bytes.subarray(Number(offset), Number(offset + size));
      place += SECTION_BYTES;
    }
    return undefined;
  }
}
