import { expect, it } from 'vitest';
import type { RingHeader } from '../ring/ring-layout.ts';
import { byDeath } from './orphaned-rings.ts';

it('orphaned rings are sorted by the exit of their threads: an exit without a recorder is the latest', () => {
  const ring = (exitTimeNs: bigint, isAlive = false) => ({ header: { exitTimeNs } as RingHeader, isAlive });
  const rings = [ring(0n, true), ring(0n), ring(7n), ring(5n), ring(0n), ring(2n ** 63n)];
  expect(rings.toSorted(byDeath)).toEqual([ring(5n), ring(7n), ring(2n ** 63n), ring(0n), ring(0n), ring(0n, true)]);
});
