/**
 * HEADER_TRACING_DATA: the formats of the tracepoints whose raw samples a perf.data file holds.
 * Source: tools/perf/util/trace-event-info.c and trace-event-read.c, Linux 6.1 (version 0.6 of the layout).
 *
 *   17 08 44 "tracing" "0.6\0"  endian:u8  longBytes:u8  pageBytes:u32
 *   "header_page\0" u64 text    "header_event\0" u64 text
 *   u32 count {u64 text}                        ftrace's own formats
 *   u32 count {system\0 u32 count {u64 text}}   formats by system
 *   u32 text  kallsyms     u32 text  printk formats     u64 text  saved cmdlines
 *
 * `text` is as many bytes as the size before it. Texts are kept as bytes, as the kernel printed them.
 */
import { cString } from './layout.ts';

/** The formats of one tracepoint system, each the text of its `format` file. */
export interface TracepointSystem {
  readonly name: string;
  readonly formats: readonly Uint8Array[];
}

export interface TracingData {
  readonly longBytes: number;
  readonly pageBytes: number;
  /** tracefs events/header_page; perf refuses a section where it is empty. */
  readonly headerPage: Uint8Array;
  /** tracefs events/header_event. */
  readonly headerEvent: Uint8Array;
  readonly ftraceFormats: readonly Uint8Array[];
  readonly systems: readonly TracepointSystem[];
  readonly kallsyms: Uint8Array;
  readonly printkFormats: Uint8Array;
  /** Lines "PID COMM"; perf takes names from COMM records instead. */
  readonly savedCmdlines: Uint8Array;
}

const MAGIC = Uint8Array.of(0x17, 0x08, 0x44, ...new TextEncoder().encode('tracing'));
const VERSION = '0.6';
/** As 0.6, without the saved cmdlines (simpleperf; perf before Linux 4.10). */
const VERSION_WITHOUT_CMDLINES = '0.5';
const LITTLE_ENDIAN = 0;
const HEADER_PAGE_TAG = 'header_page';
const HEADER_EVENT_TAG = 'header_event';

/** The section's bytes. */
export function encodeTracingData(data: TracingData): Uint8Array {
  const parts: Uint8Array[] = [
    MAGIC,
    text(VERSION),
    Uint8Array.of(LITTLE_ENDIAN, data.longBytes),
    u32(data.pageBytes),
    text(HEADER_PAGE_TAG),
    ...sized(data.headerPage),
    text(HEADER_EVENT_TAG),
    ...sized(data.headerEvent),
    u32(data.ftraceFormats.length),
    ...data.ftraceFormats.flatMap(sized),
    u32(data.systems.length),
    ...data.systems.flatMap(({ name, formats }) => [text(name), u32(formats.length), ...formats.flatMap(sized)]),
    u32(data.kallsyms.length),
    data.kallsyms,
    u32(data.printkFormats.length),
    data.printkFormats,
    ...sized(data.savedCmdlines),
  ];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Undefined for any other bytes, a cut section, and another byte order or version. */
export function decodeTracingData(bytes: Uint8Array): TracingData | undefined {
  try {
    return new Cursor(bytes).tracingData();
  } catch (error) {
    if (error instanceof CutShort) return undefined;
    throw error;
  }
}

class CutShort extends Error {}

/** Reads the section from front to back; anything unexpected throws CutShort, which this file catches. */
class Cursor {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  tracingData(): TracingData {
    const magic = this.take(MAGIC.length);
    if (!MAGIC.every((byte, index) => byte === magic[index])) throw new CutShort();
    const version = this.text();
    if (version !== VERSION && version !== VERSION_WITHOUT_CMDLINES) throw new CutShort();
    const [endian, longBytes] = this.take(2);
    if (endian !== LITTLE_ENDIAN) throw new CutShort();
    const pageBytes = this.u32();
    this.expect(HEADER_PAGE_TAG);
    const headerPage = this.sized();
    this.expect(HEADER_EVENT_TAG);
    const headerEvent = this.sized();
    const ftraceFormats = this.list(() => this.sized());
    const systems = this.list(() => ({ name: this.text(), formats: this.list(() => this.sized()) }));
    const kallsyms = this.take(this.u32());
    const printkFormats = this.take(this.u32());
    const savedCmdlines = version === VERSION ? this.sized() : new Uint8Array(0);
    return {
      longBytes: longBytes!,
      pageBytes,
      headerPage,
      headerEvent,
      ftraceFormats,
      systems,
      kallsyms,
      printkFormats,
      savedCmdlines,
    };
  }

  private take(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw new CutShort();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  private u32(): number {
    this.take(4);
    return this.view.getUint32(this.at - 4, true);
  }

  private sized(): Uint8Array {
    this.take(8);
    return this.take(Number(this.view.getBigUint64(this.at - 8, true)));
  }

  private text(): string {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0) throw new CutShort();
    return cString(this.take(end + 1 - this.at));
  }

  private expect(tag: string): void {
    if (this.text() !== tag) throw new CutShort();
  }

  private list<T>(item: () => T): T[] {
    const count = this.u32();
    const items: T[] = [];
    // An item takes four bytes at least, so a damaged count runs out of section, not of memory.
    for (let i = 0; i < count; i++) items.push(item());
    return items;
  }
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

function sized(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(bytes.length), true);
  return [size, bytes];
}
