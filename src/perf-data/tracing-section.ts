/**
 * The TRACING_DATA section: what perf needs to decode the raw samples of tracepoints. The texts are those of tracefs.
 *
 * Invariant: there is a format for every tracepoint asked for. Where none is known, a stand-in with the fields that all
 * tracepoints share takes its place: perf refuses a whole file for one tracepoint without a format.
 */
import { encodeTracingData } from '../abi/tracing-data.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';

/** A tracepoint of a snapshot; `id` is its attr's config. */
export interface Tracepoint {
  readonly system: string;
  readonly name: string;
  readonly id: bigint;
}

const LONG_BYTES = 8;

export interface TracingSection {
  readonly section: Uint8Array;
  /** Tracepoints with a stand-in, `system:name`. */
  readonly undecodable: string[];
}

/** The section for `tracepoints`. `file` returns a file of tracefs by its path; undefined when it is not there. */
export function tracingSection(
  tracepoints: readonly Tracepoint[],
  file: (path: string) => Uint8Array | undefined,
): TracingSection {
  const undecodable: string[] = [];
  const bySystem = new Map<string, Uint8Array[]>();
  const seen = new Set<bigint>();
  for (const { system, name, id } of tracepoints) {
    if (seen.has(id)) continue;
    seen.add(id);
    // A format with another id belongs to another kernel: its offsets would be wrong.
    const format = file(`events/${system}/${name}/format`);
    const isIts = format !== undefined && idOfFormat(format) === id;
    if (!isIts) undecodable.push(`${system}:${name}`);
    const formats = bySystem.get(system) ?? [];
    bySystem.set(system, formats);
    formats.push(isIts ? format : standInFormat(name, id));
  }
  const none = new Uint8Array(0);
  const section = encodeTracingData({
    longBytes: LONG_BYTES,
    pageBytes: PAGE_BYTES,
    headerPage: file('events/header_page') ?? encode(STAND_IN_HEADER_PAGE),
    headerEvent: file('events/header_event') ?? encode('# unknown\n'),
    ftraceFormats: [],
    systems: [...bySystem].map(([name, formats]) => ({ name, formats })),
    kallsyms: none,
    printkFormats: file('printk_formats') ?? none,
    savedCmdlines: none,
  });
  return { section, undecodable };
}

/** What every 64-bit kernel prints for 4 KiB buffer pages; perf requires one but does not use it for samples. */
const STAND_IN_HEADER_PAGE = [
  ['u64 timestamp', 0, 8, 0],
  ['local_t commit', 8, 8, 1],
  ['int overwrite', 8, 1, 1],
  ['char data', 16, PAGE_BYTES - 16, 1],
]
  .map(([field, offset, size, signed]) => `\tfield: ${field};\toffset:${offset};\tsize:${size};\tsigned:${signed};\n`)
  .join('');

function standInFormat(name: string, id: bigint): Uint8Array {
  const common = [
    ['unsigned short common_type', 0, 2, 0],
    ['unsigned char common_flags', 2, 1, 0],
    ['unsigned char common_preempt_count', 3, 1, 0],
    ['int common_pid', 4, 4, 1],
  ].map(([field, offset, size, signed]) => `\tfield:${field};\toffset:${offset};\tsize:${size};\tsigned:${signed};\n`);
  // An empty line ends the common fields, another one the own fields, of which there are none here.
  return encode(`name: ${name}\nID: ${id}\nformat:\n${common.join('')}\n\nprint fmt: "format unknown"\n`);
}

function idOfFormat(format: Uint8Array): bigint | undefined {
  const id = /^ID: (\d+)$/m.exec(new TextDecoder('latin1').decode(format))?.[1];
  return id === undefined ? undefined : BigInt(id);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
