/** `--cost NAME=TIME`: constants of the cost model in place of the measured ones. */
import { RingkeepError } from '../base/error.ts';
import { parseDurationNs } from '../base/units.ts';
import { COST_NAMES, type Costs, isCostName } from '../sim/capacity/index.ts';

/** Throws `bad-argument`. */
export function parseCosts(texts: readonly string[]): Partial<Costs> {
  const costs: Record<string, number> = {};
  for (const each of texts) {
    const [name = '', value = ''] = each.split('=');
    if (!isCostName(name))
      throw new RingkeepError('bad-argument', `there is no cost "${name}"; there are ${COST_NAMES.join(', ')}`, {
        name,
      });
    costs[name] = parseDurationNs(value);
  }
  return costs;
}
