/**
 * rb_inject and rb_shmem_unmap, as posted: the ring in the address space of its task.
 *
 * What it lacks: a reference on the mm, a look at what vm_mmap answered, and any notice of exec, fork and the task's
 * own munmap.
 */
import { ESRCH } from '../../base/errno.ts';
import type { Operation } from '../step.ts';
import { rbGetKernelPages } from './pages.ts';
import type { Posted } from './steps.ts';

/**
 * rb_inject: gets the pages, then maps the ring. 0 or a negative errno; that of the mapping is stored as its address.
 */
export function* rbInject(p: Posted, event: number): Operation<number> {
  const { steps } = p;
  const mm = yield steps.taskMm.at(event);
  if (mm === 0) return -ESRCH;
  const error = yield* rbGetKernelPages(p, event);
  if (error !== 0) return error;
  const address = yield steps.map.at(event, mm);
  yield steps.setMapping.at(event, mm);
  yield steps.setAddress.at(event, address);
  return 0;
}

/** rb_shmem_unmap: pauses the ring, and unmaps what lies at its address. */
export function* rbShmemUnmap(p: Posted, event: number): Operation<void> {
  const { steps } = p;
  const mm = yield steps.readMapping.at(event);
  yield steps.setPaused.at(event);
  if ((yield steps.checkAddress.at(event)) !== 0) yield steps.munmap.at(event, mm);
}
