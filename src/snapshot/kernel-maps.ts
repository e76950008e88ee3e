/**
 * Where the code of the kernel lies: without these MMAP records perf cannot resolve kernel addresses. Source:
 * perf_event__synthesize_kernel_mmap and machine__get_running_kernel_start, tools/perf/util, Linux 6.1.
 *
 * Under kptr_restrict the kernel prints zeros for addresses; an address of zero is never used.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { EventAttr } from '../abi/event-attr.ts';
import { HOST_KERNEL_PID, KERNEL_DSO_NAME } from '../abi/perf-data.ts';
import { encodeRecord } from '../abi/record.ts';
import { Misc } from '../abi/record-table.ts';

/** The text of the kernel, [start, end); perf relocates by `referenceSymbol`. */
export interface KernelText {
  readonly referenceSymbol: '_text' | '_stext';
  readonly start: bigint;
  readonly end: bigint;
}

export interface KernelModule {
  readonly name: string;
  readonly start: bigint;
  readonly bytes: bigint;
  /** The file it was loaded from, or `[name]` when unknown. */
  readonly fileName: string;
}

/** MMAP records, without a time, for the text and the modules of the kernel. */
export function kernelMapRecords(
  text: KernelText | undefined,
  modules: readonly KernelModule[],
  leader: EventAttr,
): Uint8Array[] {
  const mmap = (filename: string, addr: bigint, len: bigint, pgoff: bigint) =>
    encodeRecord('MMAP', { pid: HOST_KERNEL_PID >>> 0, tid: 0, addr, len, pgoff, filename }, {}, leader, Misc.kernel);
  const records = modules.map(({ fileName, start, bytes }) => mmap(fileName, start, bytes, 0n));
  if (text)
    // pgoff carries the address of the reference symbol: perf detects a relocated (KASLR) kernel by it.
    records.unshift(mmap(`${KERNEL_DSO_NAME}${text.referenceSymbol}`, text.start, text.end - text.start, text.start));
  return records;
}

let knownText: KernelText | undefined;

/** The text of the running kernel; undefined where it hides its addresses. It cannot move before a reboot. */
export function readKernelText(): KernelText | undefined {
  knownText ??= kernelTextOf(textPieces('/proc/kallsyms'));
  return knownText;
}

/** The text of the kernel by the pieces of a kallsyms listing; reads no more pieces than needed. */
export function kernelTextOf(pieces: Iterable<string>): KernelText | undefined {
  const addresses = new Map<string, bigint>();
  const wanted = /^([0-9a-f]+) \w (_text|_stext|_etext|_edata)$/gm;
  let rest = '';
  for (const piece of pieces) {
    const lines = rest + piece;
    const cut = lines.lastIndexOf('\n') + 1;
    rest = lines.slice(cut);
    for (const [, address, name] of lines.slice(0, cut).matchAll(wanted)) addresses.set(name!, BigInt(`0x${address}`));
    if (addresses.has('_edata') && (addresses.has('_text') || addresses.has('_stext'))) break;
  }
  const referenceSymbol = addresses.get('_text') ? '_text' : '_stext';
  const start = addresses.get(referenceSymbol) ?? 0n;
  const end = addresses.get('_edata') ?? addresses.get('_etext') ?? 0n;
  return start !== 0n && end > start ? { referenceSymbol, start, end } : undefined;
}

/** The loaded modules, without those whose address is hidden. */
export function readKernelModules(osrelease: string): KernelModule[] {
  const modules = readText('/proc/modules');
  if (modules === undefined) return [];
  const folder = `/lib/modules/${osrelease}`;
  return kernelModulesOf(modules, folder, readText(`${folder}/modules.dep`) ?? '');
}

/**
 * The modules of a /proc/modules listing. `dependencies` is modules.dep of `folder`, which names the file of each
 * module; a file has '-' where the name of the module has '_'.
 */
export function kernelModulesOf(listing: string, folder: string, dependencies: string): KernelModule[] {
  const fileOf = new Map<string, string>();
  for (const [, path, base] of dependencies.matchAll(/^((?:[^:\n]*\/)?([^/:\n]+?)\.ko[^:\n/]*):/gm))
    fileOf.set(base!.replaceAll('-', '_'), path!.startsWith('/') ? path! : `${folder}/${path}`);
  const modules: KernelModule[] = [];
  for (const [, name, bytes, address] of listing.matchAll(/^(\S+) (\d+) \d+ \S+ \S+ 0x([0-9a-f]+)/gm)) {
    const start = BigInt(`0x${address}`);
    if (start !== 0n)
      modules.push({ name: name!, start, bytes: BigInt(bytes!), fileName: fileOf.get(name!) ?? `[${name}]` });
  }
  return modules;
}

/** A file in pieces: kallsyms is a few megabytes, too much to hold for four lines. Nothing when it cannot be read. */
function* textPieces(path: string): Generator<string> {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return;
  }
  const buffer = Buffer.alloc(1 << 18);
  try {
    for (;;) {
      const length = readSync(descriptor, buffer);
      if (length === 0) return;
      yield buffer.toString('latin1', 0, length);
    }
  } finally {
    closeSync(descriptor);
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // No modules, or hidden: kernel addresses there stay unresolved.
    return undefined;
  }
}
