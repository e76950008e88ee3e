/**
 * The `format` file of a tracepoint (tracefs), the layout of its fields in a raw sample:
 *
 *   name: sched_switch
 *   ID: 372
 *   format:
 *           field:unsigned short common_type;       offset:0;       size:2; signed:0;
 *           …
 *           field:pid_t prev_pid;   offset:24;      size:4; signed:1;
 *
 * Source: kernel/trace/trace_events.c (f_show), Linux 6.1.
 */

export interface TracepointField {
  readonly offset: number;
  readonly bytes: number;
  readonly isSigned: boolean;
}

export interface TracepointFormat {
  readonly name: string;
  /** The tracepoint's number: the `config` of its attr. */
  readonly id: bigint;
  readonly fields: ReadonlyMap<string, TracepointField>;
}

const FIELD = /^\s*field:(.*?);\s*offset:(\d+);\s*size:(\d+);\s*signed:([01]);/;

/** Undefined for any other text. */
export function parseTracepointFormat(text: string): TracepointFormat | undefined {
  const name = /^name:\s*(\S+)$/m.exec(text)?.[1];
  const id = /^ID:\s*(\d+)$/m.exec(text)?.[1];
  if (name === undefined || id === undefined) return undefined;
  const fields = new Map<string, TracepointField>();
  for (const line of text.split('\n')) {
    const [, declaration, offset, bytes, signed] = FIELD.exec(line) ?? [];
    // `char prev_comm[16]`, `pid_t prev_pid`: the last word, without its array.
    const field = declaration?.match(/(\w+)(?:\[[^\]]*\])*$/)?.[1];
    if (field !== undefined)
      fields.set(field, { offset: Number(offset), bytes: Number(bytes), isSigned: signed === '1' });
  }
  return { name, id: BigInt(id), fields };
}

/** The value of a field of up to 8 bytes in a raw sample; undefined where the sample ends before it. */
export function readTracepointField(raw: Uint8Array, field: TracepointField): number | undefined {
  const { offset, bytes, isSigned } = field;
  if (offset + bytes > raw.length) return undefined;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  switch (bytes) {
    case 1:
      return isSigned ? view.getInt8(offset) : view.getUint8(offset);
    case 2:
      return isSigned ? view.getInt16(offset, true) : view.getUint16(offset, true);
    case 4:
      return isSigned ? view.getInt32(offset, true) : view.getUint32(offset, true);
    case 8:
      return Number(isSigned ? view.getBigInt64(offset, true) : view.getBigUint64(offset, true));
    default:
      return undefined;
  }
}
