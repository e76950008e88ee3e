/**
 * The stacks of one packet sequence: what a stack needs (its frames, their names and files) is written into the
 * packet that first refers to it. Interning ids are the numbers of the stack table, from 1. Mappings are whole files:
 * a frame's place in one is its offset in the file, and code in no known file is in `[unknown]`. Invariant: an id is
 * written once a sequence.
 */
import type { Capture } from '../perf-data/capture.ts';
import { Callstack, Frame, InternedData, InternedString, Mapping, TracePacket } from './perfetto-schema.ts';
import type { ProtoWriter } from './proto-writer.ts';
import type { StackTable } from './stack-table.ts';

const UNKNOWN_FILE = '[unknown]';

export class StackInterning {
  readonly #stacks: StackTable;
  readonly #buildIds: ReadonlyMap<string, string>;
  readonly #hasStack: boolean[] = [];
  readonly #hasFrame: boolean[] = [];
  readonly #nameIds = new Map<string, number>();
  readonly #mappingIds = new Map<string, number>();

  constructor(capture: Capture, stacks: StackTable) {
    this.#stacks = stacks;
    this.#buildIds = new Map(capture.features.buildIds?.map(({ file, buildId }) => [file, buildId]));
  }

  /** Writes what the stack needs and the sequence does not have yet into the packet that is open. */
  write(out: ProtoWriter, stack: number): void {
    if (this.#hasStack[stack]) return;
    this.#hasStack[stack] = true;
    const frames = this.#stacks.framesOf(stack);
    out.begin(TracePacket.internedData);
    for (const frame of frames) this.#writeFrame(out, frame);
    out.begin(InternedData.callstacks);
    out.uint(Callstack.iid, stack + 1);
    for (const frame of frames) out.uint(Callstack.frameIds, frame + 1);
    out.end();
    out.end();
  }

  #writeFrame(out: ProtoWriter, frame: number): void {
    if (this.#hasFrame[frame]) return;
    this.#hasFrame[frame] = true;
    const { name, file, place } = this.#stacks.frames[frame]!;
    const nameId = this.#nameId(out, name);
    const mappingId = this.#mappingId(out, file ?? UNKNOWN_FILE);
    out.begin(InternedData.frames);
    out.uint(Frame.iid, frame + 1);
    out.uint(Frame.functionNameId, nameId);
    out.uint(Frame.mappingId, mappingId);
    out.uint(Frame.relPc, place);
    out.end();
  }

  #nameId(out: ProtoWriter, name: string): number {
    const known = this.#nameIds.get(name);
    if (known !== undefined) return known;
    const id = this.#nameIds.size + 1;
    this.#nameIds.set(name, id);
    out.begin(InternedData.functionNames);
    out.uint(InternedString.iid, id);
    out.string(InternedString.str, name);
    out.end();
    return id;
  }

  /** Its path and build id have the mapping's own number. */
  #mappingId(out: ProtoWriter, file: string): number {
    const known = this.#mappingIds.get(file);
    if (known !== undefined) return known;
    const id = this.#mappingIds.size + 1;
    this.#mappingIds.set(file, id);
    out.begin(InternedData.mappingPaths);
    out.uint(InternedString.iid, id);
    out.string(InternedString.str, file);
    out.end();
    const buildId = this.#buildIds.get(file);
    if (buildId !== undefined) {
      out.begin(InternedData.buildIds);
      out.uint(InternedString.iid, id);
      out.bytes(InternedString.str, bytesOf(buildId));
      out.end();
    }
    out.begin(InternedData.mappings);
    out.uint(Mapping.iid, id);
    if (buildId !== undefined) out.uint(Mapping.buildId, id);
    out.uint(Mapping.pathStringIds, id);
    out.end();
    return id;
  }
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
