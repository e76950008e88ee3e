/**
 * Rows of fields as bytes: numbers in LEB128, texts once each, in front. Pure. One table of fields serves writer and
 * reader.
 *
 * Invariant: the reader never reads beyond the end and never makes more rows than there are bytes for; missing fields
 * read as empty and set `isDamaged`.
 */

/** `ascending` is written as the difference to the row before, `text` as its position among the texts. */
type FieldKind = 'count' | 'ascending' | 'u64' | 'text';
export type RowTable = readonly (readonly [name: string, kind: FieldKind])[];

type ValueOf<K extends FieldKind> = K extends 'text' ? string : K extends 'u64' ? bigint : number;
/** The object of one row. */
export type RowOf<T extends RowTable> = { [E in T[number] as E[0]]: ValueOf<E[1]> };

const FIRST_BYTES = 1 << 16;
const LONGEST_NUMBER = 10;
const HIGH = 2 ** 32;

export class VarintWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #length = 0;
  readonly #texts = new Map<string, number>();

  /** A whole number from 0 up to 2^53 − 1. */
  count(value: number): void {
    this.#reserve(LONGEST_NUMBER);
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 128;
    this.#bytes[this.#length++] = rest;
  }

  /** A count and the rows; an ascending field never decreases. */
  rows<const T extends RowTable>(table: T, rows: readonly RowOf<T>[]): void {
    this.count(rows.length);
    const last = new Map<string, number>();
    for (const row of rows as readonly Record<string, number | bigint | string>[]) {
      for (const [name, kind] of table) {
        const value = row[name]!;
        if (kind === 'text') this.count(this.#numberOf(value as string));
        else if (kind === 'u64') {
          this.count(Number(BigInt.asUintN(64, value as bigint) >> 32n));
          this.count(Number(BigInt.asUintN(32, value as bigint)));
        } else if (kind === 'ascending') {
          this.count((value as number) - (last.get(name) ?? 0));
          last.set(name, value as number);
        } else this.count(value as number);
      }
    }
  }

  #numberOf(text: string): number {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(text, this.#texts.size);
    return this.#texts.size - 1;
  }

  /** The texts, then everything that was written. */
  bytes(): Uint8Array {
    const front = new VarintWriter();
    front.count(this.#texts.size);
    for (const text of this.#texts.keys()) {
      const encoded = Buffer.from(text);
      front.count(encoded.length);
      front.#append(encoded);
    }
    front.#append(this.#bytes.subarray(0, this.#length));
    return front.#bytes.subarray(0, front.#length);
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const longer = new Uint8Array(2 * (this.#length + bytes));
    longer.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = longer;
  }
}

const decoder = new TextDecoder();

export class VarintReader {
  isDamaged = false;
  readonly #bytes: Uint8Array;
  #at = 0;
  #texts: readonly string[] = [];

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A reader positioned after the texts. */
  static open(bytes: Uint8Array): VarintReader {
    const reader = new VarintReader(bytes);
    const texts: string[] = [];
    for (let left = reader.#plausibleCount(1); left > 0 && !reader.isDamaged; left--) texts.push(reader.#text());
    reader.#texts = texts;
    return reader;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  count(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined || scale >= 2 ** 56) return this.#damaged();
      this.#at++;
      value += (byte & 127) * scale;
      if (byte < 128) return Number.isSafeInteger(value) ? value : this.#damaged();
    }
  }

  rows<const T extends RowTable>(table: T): RowOf<T>[] {
    const rows: RowOf<T>[] = [];
    const last = new Map<string, number>();
    for (let left = this.#plausibleCount(table.length); left > 0 && !this.isDamaged; left--) {
      const row: Record<string, number | bigint | string> = {};
      for (const [name, kind] of table) {
        if (kind === 'text') row[name] = this.#knownText(this.count());
        else if (kind === 'u64') row[name] = this.#u64();
        else if (kind === 'ascending') {
          row[name] = this.#safe((last.get(name) ?? 0) + this.count());
          last.set(name, row[name]);
        } else row[name] = this.count();
      }
      rows.push(row as RowOf<T>);
    }
    return rows;
  }

  /** A number of rows or texts, each of at least `leastBytes`. */
  #plausibleCount(leastBytes: number): number {
    const count = this.count();
    return count * leastBytes <= this.#bytes.length - this.#at ? count : this.#damaged();
  }

  #u64(): bigint {
    const [high, low] = [this.count(), this.count()];
    return high < HIGH && low < HIGH ? (BigInt(high) << 32n) | BigInt(low) : BigInt(this.#damaged());
  }

  #safe(value: number): number {
    return Number.isSafeInteger(value) ? value : this.#damaged();
  }

  #text(): string {
    const length = this.count();
    if (length > this.#bytes.length - this.#at) this.#damaged();
    const text = decoder.decode(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return text;
  }

  #knownText(number: number): string {
    const text = this.#texts[number];
    if (text === undefined) this.#damaged();
    return text ?? '';
  }

  #damaged(): 0 {
    this.isDamaged = true;
    return 0;
  }
}
