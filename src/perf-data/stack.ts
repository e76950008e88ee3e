/**
 * A sample's stack as offsets in files, with symbols where a symbolizer knows them.
 *
 * Invariant: every frame keeps its address, whether or not a mapping or a symbol is known.
 */
import { Misc } from '../abi/record-table.ts';
import { CONTEXT_MAX, Context, type SampleBody } from '../abi/sample.ts';
import type { MappedRange } from './address-map.ts';
import type { SourceLine, Symbolizer } from './symbolizer.ts';
import { type ProcessEntry, spaceAt, type TaskTable } from './task-table.ts';

/** One frame of a stack. Callers' addresses are return addresses, as the kernel records them. */
export interface StackFrame {
  /** Hexadecimal, with 0x. */
  address: string;
  /** What is mapped there: a path, `//anon`, `[vdso]`; null when the capture does not show it. */
  file: string | null;
  /** Offset of the address in that file, hexadecimal with 0x; null when there is no file. */
  fileOffset: string | null;
  isKernel: boolean;
  /** The function as its source spells it, without its parameters; null: unknown. */
  name: string | null;
  /** Bytes from the start of the function. */
  nameOffset: number | null;
  /** The name as the symbol table or the JIT compiler has it; null without one. */
  symbol: string | null;
  /** Source location, for JIT code whose compiler records it. */
  source: SourceLine | null;
}

/** The addresses of a stack, innermost first, with the mode each ran in. */
export interface StackAddress {
  address: bigint;
  isKernel: boolean;
  /** Whether it is a return address, and not the place where the thread was or entered the kernel. */
  isReturnAddress: boolean;
  /** In a virtual machine: this machine's mappings and kernel do not describe it. */
  isGuest?: true;
}

/** The sample's addresses without the context markers; only its instruction pointer when there is no callchain. */
export function stackAddresses(body: SampleBody, misc: number): StackAddress[] {
  const mode = misc & Misc.cpumodeMask;
  let isKernel = mode === Misc.kernel || mode === Misc.guestKernel;
  let guest: { isGuest?: true } = mode === Misc.guestKernel || mode === Misc.guestUser ? { isGuest: true } : {};
  if (body.callchain === undefined || body.callchain.length === 0)
    return body.ip === undefined || body.ip === 0n
      ? []
      : [{ address: body.ip, isKernel, isReturnAddress: false, ...guest }];
  const addresses: StackAddress[] = [];
  let isReturnAddress = false;
  for (const address of body.callchain) {
    if (address >= CONTEXT_MAX) {
      isKernel = address === Context.kernel || address === Context.guestKernel;
      guest = GUEST_CONTEXTS.has(address) ? { isGuest: true } : {};
    } else addresses.push({ address, isKernel, isReturnAddress, ...guest });
    isReturnAddress = address < CONTEXT_MAX;
  }
  return addresses;
}

const GUEST_CONTEXTS: ReadonlySet<bigint> = new Set([Context.guest, Context.guestKernel, Context.guestUser]);

/** Resolves each address by what `process` had mapped at `timeNs`, and asks `namer` for its symbol. */
export function resolveStack(
  addresses: readonly StackAddress[],
  process: ProcessEntry,
  tasks: TaskTable,
  timeNs: bigint,
  namer?: Symbolizer,
): StackFrame[] {
  const space = spaceAt(process, timeNs);
  return addresses.map((place) => {
    const mapping = place.isGuest
      ? undefined
      : (place.isKernel ? tasks.kernelSpace : space).find(place.address, timeNs);
    const name = namer?.nameOf({ ...place, pid: process.pid, timeNs, mapping });
    return {
      ...placeOf(place.address, place.isKernel, mapping),
      name: name?.name ?? null,
      nameOffset: name?.offset ?? null,
      symbol: name?.symbol ?? null,
      source: name?.source ?? null,
    };
  });
}

function placeOf(
  address: bigint,
  isKernel: boolean,
  mapping: MappedRange | undefined,
): Pick<StackFrame, 'address' | 'file' | 'fileOffset' | 'isKernel'> {
  const hasOffsets = mapping !== undefined && !isKernelText(mapping.file) && !isAnonymous(mapping.file);
  return {
    address: hexAddress(address),
    file: mapping?.file ?? null,
    fileOffset: hasOffsets ? hexAddress(address - mapping.start + mapping.fileOffset) : null,
    isKernel,
  };
}

function isKernelText(file: string): boolean {
  return file.startsWith('[kernel') || file.startsWith('[guest.kernel');
}

/** Memory without a file: offsets in it are meaningless elsewhere. */
function isAnonymous(file: string): boolean {
  return (
    file === '' || file.startsWith('//anon') || file.startsWith('[anon') || file === '[heap]' || file === '[stack]'
  );
}

function hexAddress(address: bigint): string {
  return `0x${address.toString(16)}`;
}

/** `read+0x10 (libc.so.6)`, `spin app.ts:3`; without a name `libc.so.6+0x1234`, `[kernel]+0xffffffff81001234`. */
export function frameText(frame: StackFrame): string {
  const { name, nameOffset, source } = frame;
  if (name === null) return placeText(frame);
  if (source !== null) return `${name} ${baseName(source.file)}:${source.line}`;
  const file = frame.isKernel ? kernelFile(frame.file) : frame.file === null ? '' : baseName(frame.file);
  return `${name}+0x${(nameOffset ?? 0).toString(16)}${file === '' ? '' : ` (${file})`}`;
}

function placeText(frame: StackFrame): string {
  if (frame.file === null || (frame.isKernel && isKernelText(frame.file)))
    return `${frame.isKernel ? '[kernel]' : '[unknown]'}+${frame.address}`;
  if (frame.fileOffset === null) return `${frame.file === '' ? '//anon' : frame.file}+${frame.address}`;
  return `${baseName(frame.file)}+${frame.fileOffset}`;
}

function kernelFile(file: string | null): string {
  return file === null || isKernelText(file) ? '[kernel]' : baseName(file);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
