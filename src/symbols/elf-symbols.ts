/**
 * The symbols of an ELF file: its symbol table, else the dynamic one, and names for the stubs of its PLT. Pure.
 *
 * Invariant: addresses are virtual addresses of the file.
 *
 * Included are functions, objects, and labels in sections of code or data, as in perf (elf_sym__filter and
 * dso__load_sym, tools/perf/util/symbol-elf.c, Linux 6.1).
 */
import {
  MACHINE_AARCH64,
  PLT_LAYOUT,
  RELA_BYTES,
  RELA_SYMBOL_OFFSET,
  RESERVED_SECTIONS,
  SECTION_ALLOCATED,
  SectionType,
  SYMBOL_BYTES,
  SymbolBinding,
  SymbolOffset,
  SymbolType,
  SymbolVisibility,
  UNDEFINED_SECTION,
} from '../abi/elf-symbol.ts';
import { dataViewOf, type ElfImage, type Section } from './elf-image.ts';
import { type Candidate, symbolTable } from './symbol-choice.ts';
import { MOST_SYMBOLS, nameAt, type SymbolTable } from './symbol-table.ts';

/** Whether the file has more than its dynamic symbols, which leave most functions without a name. */
export function hasFullSymbols(image: ElfImage): boolean {
  const section = image.sectionOfType(SectionType.symtab);
  return section !== undefined && section.bytes >= 2 * SYMBOL_BYTES;
}

/**
 * The symbols of `image`, with the PLT stubs of `runtime`, the file that was mapped, where that is another: a debug
 * file has no code and no relocations.
 */
export function elfSymbolTable(image: ElfImage, runtime: ElfImage = image): SymbolTable {
  const section = hasFullSymbols(image)
    ? image.sectionOfType(SectionType.symtab)!
    : image.sectionOfType(SectionType.dynsym);
  const names = section && image.sections[section.link];
  const nameBytes = names ? image.bytesOf(names) : new Uint8Array();
  const candidates = section ? Array.from(symbolsOf(image, section)) : [];
  const stubs = pltStubs(runtime, nameBytes.length);
  return symbolTable(candidates.concat(stubs.candidates), joined(nameBytes, stubs.names));
}

function* symbolsOf(image: ElfImage, section: Section): Generator<Candidate> {
  const view = dataViewOf(image.bytesOf(section, MOST_SYMBOLS * SYMBOL_BYTES));
  const kinds = image.sections.map(sectionKind);
  for (let at = SYMBOL_BYTES; at + SYMBOL_BYTES <= view.byteLength; at += SYMBOL_BYTES) {
    const info = view.getUint8(at + SymbolOffset.info);
    const type = info & 15;
    const sectionIndex = view.getUint16(at + SymbolOffset.section, true);
    const nameOffset = view.getUint32(at + SymbolOffset.name, true);
    if (nameOffset === 0 || sectionIndex === UNDEFINED_SECTION || sectionIndex >= RESERVED_SECTIONS) continue;
    const kind = kinds[sectionIndex];
    if (kind === undefined || kind === 'absent') continue;
    const isNamed = type === SymbolType.func || type === SymbolType.gnuIfunc || type === SymbolType.object;
    if (!isNamed && !(kind === 'labelled' && isLabel(type, view.getUint8(at + SymbolOffset.other)))) continue;
    yield {
      start: u64(view, at + SymbolOffset.value),
      bytes: u64(view, at + SymbolOffset.bytes),
      nameAt: nameOffset,
      type,
      binding: info >>> 4,
    };
  }
}

/** Sections without memory have no addresses; in some of the others labels count as symbols. */
function sectionKind({ name, flags }: Section): 'absent' | 'plain' | 'labelled' {
  if ((flags & SECTION_ALLOCATED) === 0n) return 'absent';
  return name.includes('text') || name.includes('data') ? 'labelled' : 'plain';
}

function isLabel(type: number, other: number): boolean {
  const visibility = other & SymbolVisibility.mask;
  const isVisible = visibility !== SymbolVisibility.internal && visibility !== SymbolVisibility.hidden;
  return type === SymbolType.notype && isVisible;
}

/** Exact below 2^53, which all addresses of files are. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

/** Names of stubs take no more memory. */
const MOST_STUB_NAMES_BYTES = 2 ** 24;

interface Stubs {
  readonly candidates: readonly Candidate[];
  readonly names: Uint8Array;
}

/** `name@plt` for every stub that calls a function of another file, in the order of the relocations. */
function pltStubs(image: ElfImage, namesAt: number): Stubs {
  const plt = image.section('.plt.sec') ?? image.section('.plt');
  const relocations = image.section('.rela.plt');
  const symbols = relocations && image.sections[relocations.link];
  const names = symbols && image.sections[symbols.link];
  if (!plt || !relocations || !symbols || !names) return { candidates: [], names: new Uint8Array() };
  const layout = image.machine === MACHINE_AARCH64 ? PLT_LAYOUT.aarch64 : PLT_LAYOUT.x86_64;
  const firstAt = plt.name === '.plt.sec' ? 0 : layout.headerBytes;
  const relocationView = dataViewOf(image.bytesOf(relocations));
  const symbolView = dataViewOf(image.bytesOf(symbols));
  const nameBytes = image.bytesOf(names);
  const candidates: Candidate[] = [];
  const pieces: Uint8Array[] = [];
  let at = namesAt;
  for (let index = 0; (index + 1) * RELA_BYTES <= relocationView.byteLength; index++) {
    const symbolAt = relocationView.getUint32(index * RELA_BYTES + RELA_SYMBOL_OFFSET, true) * SYMBOL_BYTES;
    const start = plt.address + firstAt + index * layout.entryBytes;
    if (symbolAt === 0 || symbolAt + SYMBOL_BYTES > symbolView.byteLength || start >= plt.address + plt.bytes) continue;
    const name = nameAt(nameBytes, symbolView.getUint32(symbolAt + SymbolOffset.name, true));
    if (at - namesAt > MOST_STUB_NAMES_BYTES) break;
    const piece = Buffer.from(`${name}@plt\0`);
    const binding = SymbolBinding.global;
    candidates.push({ start, bytes: layout.entryBytes, nameAt: at, type: SymbolType.func, binding });
    pieces.push(piece);
    at += piece.length;
  }
  return { candidates, names: Buffer.concat(pieces) };
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  return second.length === 0 ? first : Buffer.concat([first, second]);
}
