/**
 * The map /tmp/perf-PID.map of a JIT compiler: one line `START BYTES NAME` per piece of code, in hexadecimal, in order
 * of creation (tools/perf/Documentation/jit-interface.txt, Linux 6.1). Pure.
 *
 * Memory of freed code is reused without a mark in the map, so the last line that covers an address is used. (perf uses
 * the first match of its tree, which depends on the order of all lines: symbols__find and dso__load_perf_map,
 * tools/perf/util/symbol.c.) Lines have no times, so a name does not depend on the time; the dump (jit-dump.ts) has
 * them.
 */
import { StringTable, SymbolTable } from './symbol-table.ts';

/** The table of the map; malformed lines, and a last line that is cut, are left out. */
export function perfMapTable(text: string): SymbolTable {
  const names = new StringTable();
  const entries: { start: number; end: number; nameAt: number; order: number }[] = [];
  for (const [, digits, size, name] of text.matchAll(/^(?:0x)?([0-9a-f]+) (?:0x)?([0-9a-f]+) (.+)\n/gim)) {
    const start = Number.parseInt(digits!, 16);
    const bytes = Number.parseInt(size!, 16);
    if (bytes === 0 || !Number.isSafeInteger(start + bytes)) continue;
    entries.push({ start, end: start + bytes, nameAt: names.add(name!), order: entries.length });
  }
  entries.sort((a, b) => a.start - b.start || a.order - b.order);
  return new SymbolTable(entries, names.bytes(), 'newest');
}
