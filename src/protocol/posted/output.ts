/**
 * What starts, stops and writes: the PMU callbacks around `perf_aux_output_begin` and `_end`.
 *
 * Invariant: these run on the event's CPU with interrupts off, inside one step of their caller.
 */

import type { PostedParts } from './parts.ts';
import { PostedWord } from './state.ts';

/** `pmu::add(event, 0)`: without START. 0 or a negative errno. */
export function addWithoutStart({ machine }: PostedParts, event: number, cpu: number): number {
  return machine.addPmu(event, cpu);
}

/** `pmu::start`: with AUX hardware it needs a transaction, else nothing. */
export function startPmu(p: PostedParts, event: number, cpu: number): void {
  const { machine } = p;
  if (machine.hasAuxPmu(event) && !perfAuxOutputBegin(p, event)) return;
  machine.startPmu(event, cpu);
}

/** `pmu::stop(PERF_EF_UPDATE)`: hardware off, the transaction ended. */
export function stopPmu(p: PostedParts, event: number): void {
  const { machine, state } = p;
  if (!machine.isPmuOn(event)) return;
  machine.stopPmu(event, state.get(event, PostedWord.oncpu));
  if (machine.hasAuxPmu(event)) perfAuxOutputEnd(p, event);
}

/** `pmu::del`. */
export function delPmu(p: PostedParts, event: number): void {
  stopPmu(p, event);
  p.machine.delPmu(event, p.state.get(event, PostedWord.oncpu));
}

/**
 * perf_aux_output_begin (kernel/events/ring_buffer.c, 4.13): refused while aux_mmap_count is zero; takes aux_refcount
 * and aux_nest, then hands out aux_priv, which may be none: then the transaction is never ended. The patch's two
 * warnings need a parent, which a detached event has not.
 */
export function perfAuxOutputBegin({ state, machine }: PostedParts, event: number): boolean {
  if (state.get(event, PostedWord.auxMmapCount) === 0) return false;
  if (state.get(event, PostedWord.auxRefcount) === 0) return false;
  state.change(event, PostedWord.auxRefcount, 1);
  if (state.get(event, PostedWord.auxNest) !== 0) {
    machine.warn(event, 'perf_aux_output_begin: a transaction is open already');
    state.change(event, PostedWord.auxRefcount, -1);
    return false;
  }
  state.set(event, PostedWord.auxNest, 1);
  return machine.hasSg(event);
}

/**
 * perf_aux_output_end: aux_head goes into the user page, and unless the ring is paused a PERF_RECORD_AUX into the
 * data pages.
 */
function perfAuxOutputEnd({ state, machine }: PostedParts, event: number): void {
  machine.updateUserPage(event);
  if (machine.dataPagesOf(event) > 0 && state.get(event, PostedWord.paused) === 0) machine.storeData(event);
  state.set(event, PostedWord.auxNest, 0);
  state.change(event, PostedWord.auxRefcount, -1);
}
