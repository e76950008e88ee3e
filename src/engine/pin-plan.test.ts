import fc from 'fast-check';
import { expect, it } from 'vitest';
import { planPins } from './pin-plan.ts';

const ring = 17 * 4096;

it('a plan that pins never needs more than may be locked', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 256 }),
      fc.integer({ min: 0, max: 2 ** 30 }),
      fc.option(fc.integer({ min: 1, max: 100 })),
      (cpus, lockLimitBytes, slots) => {
        const plan = planPins({
          cpus,
          ringFileBytes: ring,
          slots: slots ?? 'auto',
          budgetBytes: 2 ** 28,
          lockLimitBytes,
        });
        if (plan.pins) expect(cpus * plan.slotsPerCpu * ring).toBeLessThanOrEqual(lockLimitBytes);
        else expect(plan.degraded.join()).toContain('RLIMIT_MEMLOCK');
      },
    ),
  );
});

it('auto fills the budget; a given number is used, and where the lock limit reduces it, that is reported', () => {
  const request = {
    cpus: 2,
    ringFileBytes: ring,
    slots: 'auto' as const,
    budgetBytes: 8 * 2 ** 20,
    lockLimitBytes: Number.POSITIVE_INFINITY,
  };
  expect(planPins(request)).toEqual({ slotsPerCpu: 60, pins: true, degraded: [] });
  expect(planPins({ ...request, slots: 3 })).toEqual({ slotsPerCpu: 3, pins: true, degraded: [] });
  expect(planPins({ ...request, slots: 100, lockLimitBytes: 2 * 2 ** 20 })).toMatchObject({
    slotsPerCpu: 15,
    pins: true,
    degraded: [expect.stringContaining('15 slots per CPU instead of 100')],
  });
});

it('a lock limit below one ring a CPU means no pinning, which is reported; a budget below it is an error, or means the same', () => {
  const request = { cpus: 2, ringFileBytes: ring, slots: 'auto' as const, budgetBytes: 8 * 2 ** 20, lockLimitBytes: 0 };
  expect(planPins(request)).toMatchObject({ pins: false, degraded: [expect.stringContaining('may be swapped out')] });
  expect(() => planPins({ ...request, budgetBytes: 4096 })).toThrow(expect.objectContaining({ code: 'pin-budget' }));
  expect(planPins({ ...request, budgetBytes: 4096, mayBeUnpinned: true })).toMatchObject({ pins: false });
});
