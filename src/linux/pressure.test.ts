import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { Poller } from './poller.ts';
import { PressureMonitor, type PressureThreshold } from './pressure.ts';

/** What everybody may have. */
const CPU: PressureThreshold = { resource: 'cpu', share: 'some', thresholdNs: 100_000_000, windowNs: 2_000_000_000 };

function spin(): ChildProcess {
  return spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' });
}

function openOrSkip(threshold: PressureThreshold, skip: (why: string) => never): PressureMonitor {
  try {
    return PressureMonitor.open(threshold);
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'psi-absent')
      skip('the kernel provides no pressure stall information');
    if (error instanceof RingkeepError && error.code === 'psi-refused') skip('pressure may not be watched here');
    throw error;
  }
}

it('a monitor reports when more threads are runnable than there are CPUs, and the wait consumes the report', (context) => {
  const monitor = openOrSkip(CPU, context.skip);
  const poller = new Poller();
  const spinners = Array.from({ length: 2 * availableParallelism() }, spin);
  try {
    expect(poller.add(monitor.fd, 'priority')).toBe(0);
    // A wait may end for a signal: a child's end is one.
    let ready: number[] = [];
    const deadlineMs = Date.now() + 20_000;
    while (ready.length === 0 && Date.now() < deadlineMs) ready = poller.wait(1000);
    if (ready.length === 0) context.skip('the kernel reported no pressure within 20 s of busy loops');
    expect(ready).toEqual([monitor.fd]);
    expect(poller.wait(0)).toEqual([]);
    poller.remove(monitor.fd);
  } finally {
    for (const spinner of spinners) spinner.kill('SIGKILL');
    poller.close();
    monitor.close();
  }
});

it('a kernel without pressure and a refused monitor are different errors', (context) => {
  openOrSkip(CPU, context.skip).close();
  const swap = { ...CPU, resource: 'swap' as 'io' };
  expect(() => PressureMonitor.open(swap)).toThrow(
    expect.objectContaining({ code: 'psi-absent', details: { errno: 'ENOENT', resource: 'swap' } }),
  );
  const tooLong = { ...CPU, windowNs: 11_000_000_000 };
  expect(() => PressureMonitor.open(tooLong)).toThrow(
    expect.objectContaining({ code: 'psi-refused', details: { errno: 'EINVAL', resource: 'cpu' } }),
  );
});
