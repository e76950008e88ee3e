/** The two protocols, ready for a simulation. */
import { CorrectedVariant } from '../../protocol/corrected/variant.ts';
import type { Mend } from '../../protocol/posted/parts.ts';
import { PostedVariant } from '../../protocol/posted/variant.ts';
import type { MakeVariant } from './simulation.ts';

/** Events of a setup and their descendants. */
const MAX_EVENTS = 16;

/** The patch as posted, one slot a CPU, with some of its defects mended. */
export function postedVariant(mends: readonly Mend[] = []): MakeVariant {
  return (kernel, setup) => new PostedVariant(kernel, { cpus: setup.cpus, maxEvents: MAX_EVENTS, mends });
}

/** The corrected protocol with W slots a CPU. */
export function correctedVariant(slotsPerCpu: number): MakeVariant {
  return (kernel, setup) =>
    new CorrectedVariant(kernel, {
      cpus: setup.cpus,
      slotsPerCpu,
      pagesPerRing: 1 + kernel.shape.dataPages + kernel.shape.auxPages,
      maxEvents: MAX_EVENTS,
      ...(setup.extentPages === undefined ? {} : { extentPages: setup.extentPages }),
    });
}
