/**
 * The task works of all tasks, for machines that have no list of their own.
 *
 * Invariant: an event is on its task's list at most once (its `queued` word is 1 then); last in, first out, as
 * `task_work_add` of kernel 4.13.
 */
export class WorkList {
  readonly #works = new Map<number, number[]>();

  /** Puts the event's work on the task's list. */
  push(task: number, event: number): void {
    const works = this.#works.get(task);
    if (works) works.push(event);
    else this.#works.set(task, [event]);
  }

  /** Takes the newest work off the task's list: its event, or -1. */
  pop(task: number): number {
    return this.#works.get(task)?.pop() ?? -1;
  }

  /** Events whose works wait on the task's list. */
  pending(task: number): readonly number[] {
    return this.#works.get(task) ?? [];
  }

  /** Forgets a task that is gone. Its list must be empty: a work holds a reference on its event. */
  forget(task: number): void {
    if (this.pending(task).length > 0) throw new Error('assertion failed: a task with queued works is forgotten');
    this.#works.delete(task);
  }
}
