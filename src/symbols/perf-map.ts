/**
 * The map /tmp/perf-PID.map of a JIT compiler: one line `START BYTES NAME` per piece of code, in hexadecimal, in order
 * of creation (tools/perf/Documentation/jit-interface.txt, Linux 6.1). Pure.
 *
 * Memory of freed code is reused without a mark in the map, so the last line that covers an address is used. (perf uses
 * the first match of its tree, which depends on the order of all lines: symbols__find and dso__load_perf_map,
 * tools/perf/util/symbol.c.) Lines have no times, so a name does not depend on the time; the dump (jit-dump.ts) has
 * them.
 */
import { MOST_SYMBOLS, StringTable, SymbolTable } from './symbol-table.ts';

/** Longer names are cut. */
const MOST_NAME = 4096;

/** The table of the map, of at most `most` lines; malformed ones, and a last line that is cut, are left out. */
export function perfMapTable(map: string | Iterable<string>, most = MOST_SYMBOLS): SymbolTable {
  const names = new StringTable();
  const entries: { start: number; end: number; nameAt: number; order: number }[] = [];
  for (const text of typeof map === 'string' ? [map] : map) {
    if (entries.length >= most || names.isFull) break;
    for (const [, digits, size, name] of text.matchAll(/^(?:0x)?([0-9a-f]{1,16}) (?:0x)?([0-9a-f]{1,16}) (.+)\n/gim)) {
      const start = Number.parseInt(digits!, 16);
      const bytes = Number.parseInt(size!, 16);
      if (bytes === 0 || !Number.isSafeInteger(start + bytes) || entries.length >= most) continue;
      entries.push({ start, end: start + bytes, nameAt: names.add(name!.slice(0, MOST_NAME)), order: entries.length });
    }
  }
  entries.sort((a, b) => a.start - b.start || a.order - b.order);
  return new SymbolTable(entries, names.bytes(), 'newest');
}
