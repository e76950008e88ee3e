/**
 * A pressure monitor: the kernel reports when the machine loses more than a threshold of time to a resource within a
 * window. Source: Documentation/accounting/psi.rst; kernel/sched/psi.c (psi_trigger_create), Linux 6.1 and 6.4.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import { formatDurationExactly } from '../base/units.ts';

/** More than `thresholdNs` lost in a window of `windowNs`: by some task, or by all that were not idle. */
export interface PressureThreshold {
  readonly resource: 'cpu' | 'memory' | 'io';
  readonly share: 'some' | 'full';
  /** Whole microseconds, both. */
  readonly thresholdNs: number;
  readonly windowNs: number;
}

/** The windows that every kernel with monitors accepts (Linux 5.2). */
export const SHORTEST_WINDOW_NS = 500_000_000;
export const LONGEST_WINDOW_NS = 10_000_000_000;
/** From Linux 6.4 on, unprivileged users may have windows that are multiples of it. */
const UNPRIVILEGED_WINDOW_NS = 2_000_000_000;

export class PressureMonitor {
  /** For `Poller.add` with `priority`. The kernel reports at most once a window; the wait consumes the report. */
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Throws `psi-absent` where the kernel has no pressure, `psi-refused` where it refuses the monitor (details.errno).
   */
  static open(threshold: PressureThreshold): PressureMonitor {
    const { resource, share, thresholdNs, windowNs } = threshold;
    let fd: number;
    try {
      fd = openSync(`/proc/pressure/${resource}`, constants.O_RDWR | constants.O_NONBLOCK);
    } catch (error) {
      throw refusal(threshold, error);
    }
    try {
      // The terminating NUL is part of what the kernel reads.
      writeSync(fd, `${share} ${thresholdNs / 1000} ${windowNs / 1000}\0`);
    } catch (error) {
      closeSync(fd);
      throw refusal(threshold, error);
    }
    return new PressureMonitor(fd);
  }

  /** To be called after it was removed from the poller. */
  close(): void {
    closeSync(this.fd);
  }
}

function refusal({ resource, windowNs }: PressureThreshold, cause: unknown): RingkeepError {
  const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
  const details = { errno, resource };
  switch (errno) {
    case 'ENOENT':
    case 'EOPNOTSUPP':
    case 'ENOTSUP':
      return new RingkeepError('psi-absent', 'the kernel provides no pressure stall information', details, { cause });
    case 'EINVAL': {
      if (windowNs % UNPRIVILEGED_WINDOW_NS === 0) break;
      const window = formatDurationExactly(windowNs);
      const why = `a window of ${window} needs CAP_SYS_RESOURCE`;
      return new RingkeepError('psi-refused', `the kernel refused to watch ${resource} pressure: ${why}`, details, {
        cause,
      });
    }
  }
  return new RingkeepError('psi-refused', `the kernel refused to watch ${resource} pressure: ${errno}`, details, {
    cause,
  });
}
