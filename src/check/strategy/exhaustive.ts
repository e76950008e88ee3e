/**
 * Brute force: every execution, one by one; with a bound on preemptions, every one within it. It is what the reductions
 * are held against, and of use only for programs that are very small.
 */
import { CONTINUE, DepthFirst, type DepthFirstOptions } from './depth-first.ts';

export class Exhaustive extends DepthFirst {
  constructor(options: DepthFirstOptions = {}) {
    super('exhaustive', options);
  }

  protected override endAt(): number {
    return CONTINUE;
  }
}
