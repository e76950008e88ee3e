/**
 * What a JIT compiler says of its code in /tmp/perf-PID.map: a line `START BYTES NAME` for each piece, in hexadecimal, as
 * it is made (tools/perf/Documentation/jit-interface.txt, Linux 6.1). Pure. Memory of code that is gone is used again and
 * nobody says so: of all lines that cover an address the last one holds. (perf takes whichever its tree comes upon first, which depends
 * on the order of all lines: symbols__find and dso__load_perf_map, tools/perf/util/symbol.c.) When a line was written is not told, so
 * a name does not depend on the time; the dump (jit-dump.ts) tells it.
 */
import { StringTable, SymbolTable } from './symbol-table.ts';

/** The table of the map; lines that are none, and the last one when it is cut, are left out. */
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
