/**
 * rb_get_kernel_pages and rb_put_kernel_pages, as posted (kernel/events/ring_buffer.c).
 *
 * What it meant to hold: mmap_count and aux_mmap_count are taken together, and are 1 exactly while every page has one
 * reference. What it lacks: get runs in a task and sleeps, put comes by IPI at any of its steps, and shmem_pages_in,
 * by which the two mean to see each other, is the index of a page and not their number.
 */
import { ENOMEM } from '../../base/errno.ts';
import type { Operation } from '../step.ts';
import type { Posted } from './steps.ts';

/** perf_rb_size, in pages: user page, data pages, AUX pages. */
export function perfRbSize({ machine }: Posted, event: number): number {
  return machine.pagesOf(event);
}

/** rb_get_kernel_pages: 0 or a negative errno. */
export function* rbGetKernelPages(p: Posted, event: number): Operation<number> {
  const { steps } = p;
  let taken = 0;
  if ((yield steps.incMmapCount.at(event)) === 1) taken++;
  if ((yield steps.incAuxMmapCount.at(event)) === 1) taken++;
  let changed = 0;
  if (taken === 2) {
    const got = yield* getPages(p, event);
    if (got.error !== 0) return yield* errPut(p, event, got.pages, got.error);
    changed = got.changed;
    if (changed > 0) {
      if ((yield steps.readAuxPriv.at(event)) !== 0) yield steps.freeAux.at(event);
      yield steps.setupAux.at(event);
    }
    if ((yield steps.readAuxPriv.at(event)) === 0) return yield* errPut(p, event, got.pages, -ENOMEM);
  }
  yield steps.clearPaused.at(event);
  if (changed > 0 && (yield steps.checkUserPage.at(event)) !== 0) yield steps.updateUserPage.at(event);
  return 0;
}

/** The loop over the pages, from the beginning again whenever shmem_pages_in is not what was stored. */
export function* getPages(p: Posted, event: number): Operation<{ pages: number; changed: number; error: number }> {
  const { steps } = p;
  const pages = perfRbSize(p, event);
  let changed = 0;
  for (let page = 0; page < pages; page++) {
    yield steps.setPagesIn.at(event, page);
    const frame = yield steps.getPage.at(event, page);
    if (frame < 0) return { pages: page, changed, error: frame };
    if ((yield steps.readPagesIn.at(event)) !== page) {
      yield steps.dropPage.at(event, frame);
      page = -1;
      continue;
    }
    yield steps.dirtyPage.at(event, frame);
    if ((yield steps.mmapToPage.at(event, page)) === frame) continue;
    changed++;
    yield steps.storePage.at(event, (page << 16) | frame);
  }
  if (p.mends.has('pages-in')) yield steps.setPagesIn.at(event, pages);
  return { pages, changed, error: 0 };
}

/** err_put: the pages below `pages` and both counts. */
export function* errPut(p: Posted, event: number, pages: number, error: number): Operation<number> {
  for (let page = pages - 1; page >= 0; page--) yield p.steps.putBack.at(event, page);
  yield p.steps.decAuxMmapCount.at(event);
  yield p.steps.decMmapCount.at(event);
  return error;
}

/** rb_put_kernel_pages: the second count goes down only where the first reached zero. */
export function* rbPutKernelPages(p: Posted, event: number): Operation<void> {
  const { steps } = p;
  yield steps.setPaused.at(event);
  if ((yield steps.decAuxMmapCount.at(event)) !== 0 || (yield steps.decMmapCount.at(event)) !== 0) return;
  yield steps.putPages.at(event);
  yield steps.clearPagesIn.at(event);
}
