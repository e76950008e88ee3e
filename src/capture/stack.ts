/**
 * A sample's stack as places in files: no symbols, which are looked up elsewhere by the same places. Invariant: every
 * frame keeps its address, whether a mapping for it is known or not.
 */
import { CONTEXT_MAX, Context, Misc, type SampleBody } from '../abi/record.ts';
import type { Mapping } from './address-space.ts';
import { type ProcessEntry, spaceAt, type TaskTable } from './task-table.ts';

/** One frame of a stack. Callers' addresses are return addresses, as the kernel records them. */
export interface Frame {
  /** Hexadecimal, with 0x. */
  address: string;
  /** What is mapped there: a path, `//anon`, `[vdso]`; null when the capture does not say. */
  file: string | null;
  /** Offset of the address in that file, hexadecimal with 0x; null when there is no file to count in. */
  fileOffset: string | null;
  isKernel: boolean;
}

/** Addresses of a stack, innermost first, with the mode each ran in. */
export interface StackAddress {
  address: bigint;
  isKernel: boolean;
}

/** The sample's addresses without the context markers; its instruction pointer alone where there is no callchain. */
export function stackAddresses(body: SampleBody, misc: number): StackAddress[] {
  const mode = misc & Misc.cpumodeMask;
  let isKernel = mode === Misc.kernel || mode === Misc.guestKernel;
  if (body.callchain === undefined || body.callchain.length === 0)
    return body.ip === undefined || body.ip === 0n ? [] : [{ address: body.ip, isKernel }];
  const addresses: StackAddress[] = [];
  for (const address of body.callchain) {
    if (address >= CONTEXT_MAX) isKernel = address === Context.kernel;
    else addresses.push({ address, isKernel });
  }
  return addresses;
}

/** Where each address lies in what `process` had mapped at `timeNs`. */
export function resolveStack(
  addresses: readonly StackAddress[],
  process: ProcessEntry,
  tasks: TaskTable,
  timeNs: bigint,
): Frame[] {
  const space = spaceAt(process, timeNs);
  return addresses.map(({ address, isKernel }) => {
    const mapping = (isKernel ? tasks.kernelSpace : space).find(address, timeNs);
    return frameOf(address, isKernel, mapping);
  });
}

function frameOf(address: bigint, isKernel: boolean, mapping: Mapping | undefined): Frame {
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

/** Memory without a file behind it: offsets in it mean nothing elsewhere. */
function isAnonymous(file: string): boolean {
  return (
    file === '' || file.startsWith('//anon') || file.startsWith('[anon') || file === '[heap]' || file === '[stack]'
  );
}

function hexAddress(address: bigint): string {
  return `0x${address.toString(16)}`;
}

/** `libc.so.6+0x1234`, `[kernel]+0xffffffff81001234`, `[unknown]+0x7f…`: the frame in one word. */
export function frameText(frame: Frame): string {
  if (frame.file === null || (frame.isKernel && isKernelText(frame.file)))
    return `${frame.isKernel ? '[kernel]' : '[unknown]'}+${frame.address}`;
  if (frame.fileOffset === null) return `${frame.file === '' ? '//anon' : frame.file}+${frame.address}`;
  return `${frame.file.slice(frame.file.lastIndexOf('/') + 1)}+${frame.fileOffset}`;
}
