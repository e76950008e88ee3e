/** Steps of the simulated machine itself: those of user mode, of the scheduler and of who meddles. */
import { Step } from '../../protocol/step.ts';

/** A step of the machine's own, whose touched instances do not follow from two operands. */
export class MachineStep extends Step {
  readonly touched: () => { readonly reads: readonly string[]; readonly writes: readonly string[] };

  constructor(
    name: string,
    touched: () => { readonly reads: readonly string[]; readonly writes: readonly string[] },
    perform: () => number,
    enabled?: () => boolean,
  ) {
    super(name, [], [], perform, enabled);
    this.touched = touched;
  }
}
