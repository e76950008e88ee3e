/** Steps of the simulated machine itself: those of user mode, of the scheduler and of the actors beside the tasks. */
import { Step, type StepTraits } from '../../protocol/step.ts';

/** Instances of state, as `event.gate[3]`. */
export interface Touched {
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** A step of the machine's own, whose touched instances do not follow from two operands. */
export class MachineStep extends Step {
  readonly touched: () => Touched;

  constructor(name: string, touched: () => Touched, perform: () => number, traits: StepTraits = {}) {
    super(name, [], [], perform, traits);
    this.touched = touched;
  }
}
