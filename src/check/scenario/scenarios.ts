/**
 * The scenarios: those of the design's list, in its order, then what else its section D describes. `requeue-on-evict-livelock`,
 * the negative control, is a wrong form of the corrected protocol and stands among the mutants.
 */
import type { Setup } from '../../sim/kernel/setup.ts';
import type { Scenario } from './scenario.ts';

/** Two tasks with an event each that take turns on one CPU. */
function alternating(script: readonly string[], other: readonly string[], more: Partial<Setup> = {}): Setup {
  return {
    cpus: 1,
    tasks: [
      { name: 'A', cpu: 0, events: ['E'], script },
      { name: 'B', cpu: 0, events: ['F'], script: other },
    ],
    ...more,
  };
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'single-pin-run',
    defect: 'none',
    about: 'One task, one event: it is pinned, started, and runs. The control: nothing breaks but the account.',
    setup: { cpus: 1, tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'write E', 'run'] }] },
    schedule: 'A.',
    breaks: [],
  },
  {
    name: 'pingpong-last-page',
    defect: 'pages_in is an index, not a count',
    about:
      'Two tasks take turns. Each unpin puts the pages below shmem_pages_in, which is the last page’s index: that page stays.',
    setup: alternating(['run', 'sleep', 'run'], ['run', 'sleep', 'run']),
    looksAt: ['I5'],
    schedule: 'A. cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I5', step: 'work.detach' }],
  },
  {
    name: 'evict-before-inc',
    defect: 'D1',
    about:
      'E’s work has the slot and xpinned 1 and is preempted; F evicts E before the counts go up: E unpauses a ring that has no pages.',
    mends: ['pages-in'],
    setup: alternating(['run', 'write E', 'run'], ['run'], { preemptions: 1 }),
    looksAt: ['I2'],
    schedule: 'A>mmap-count.inc cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I2', step: 'write.store' }],
  },
  {
    name: 'stale-sg-start',
    defect: 'D1',
    about:
      'The same with an E that was pinned before and whose pages reclaim has moved: the next start hands the old SG table to the hardware.',
    mends: ['pages-in'],
    setup: alternating(['run', 'sleep', 'run', 'sleep', 'run', 'run'], ['run', 'sleep', 'run', 'sleep', 'run'], {
      preemptions: 1,
      ring: { auxPages: 2 },
      others: [{ name: 'reclaim', script: ['reclaim E 0', 'reclaim E 1', 'reclaim E 2'] }],
    }),
    looksAt: ['I1'],
    schedule:
      'A. cpu0!cpu.switched B. reclaim. cpu0!cpu.switched A>mmap-count.inc cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I1', step: 'event.restart' }],
  },
  {
    name: 'evict-at-page0',
    defect: 'D2',
    about: 'E is evicted while it gets its first page: shmem_pages_in is 0 before and after, so get does not see it.',
    mends: ['pages-in'],
    setup: alternating(['run', 'run'], ['run'], { preemptions: 1 }),
    looksAt: ['I5'],
    schedule: 'A>page.get cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I5', step: 'work.detach' }],
  },
  {
    name: 'evict-between-check-and-store',
    defect: 'D2',
    about: 'E is evicted behind the look at shmem_pages_in and before the page is stored.',
    mends: ['pages-in'],
    setup: alternating(['run', 'run'], ['run'], { preemptions: 1 }),
    looksAt: ['I2'],
    schedule: 'A!page.get A!page.get A!pages-in.check cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I2', step: 'user-page.update' }],
  },
  {
    name: 'restart-leak',
    defect: 'D2',
    about: 'E is evicted while it gets its second page and sees it: it takes every page again, with both counts at 0.',
    mends: ['pages-in'],
    setup: alternating(['run', 'run'], ['run'], { preemptions: 1 }),
    looksAt: ['I5'],
    schedule: 'A!page.get A>page.get cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I5', step: 'work.detach' }],
  },
  {
    name: 'enomem-after-evict',
    defect: 'D3',
    about:
      'E is evicted while it gets its second page, and getting it fails: the error path puts pages that the eviction has put.',
    mends: ['pages-in'],
    setup: alternating(['run', 'run'], ['run'], {
      preemptions: 1,
      failures: [{ call: 'getPage', event: 'E', nth: 2 }],
    }),
    schedule: 'A!page.get A>page.get cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I5', step: 'page.put-back' }],
  },
  {
    name: 'late-unpause',
    defect: 'D4',
    about: 'E is evicted between its last page and its unpause: it is unpaused with no page held.',
    mends: ['pages-in'],
    setup: alternating(['run', 'write E', 'run'], ['run'], { preemptions: 1 }),
    schedule: 'A>unpause cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I2', step: 'user-page.update' }],
  },
  {
    name: 'first-get-enomem',
    defect: 'xpinned 1→0 while this CPU’s slot still names E',
    about:
      'One CPU, one task: getting a page fails; the next work takes xpinned and the counts down, finds its event in the slot and starts it on no SG table.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      ring: { injected: true },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'sleep', 'run', 'sleep', 'run'] }],
      failures: [{ call: 'getPage', event: 'E', nth: 2 }],
    },
    looksAt: ['I7'],
    schedule: 'A. cpu0!cpu.switched cpu0!cpu.switched A. cpu0!cpu.switched cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I7', step: 'user.run' }],
  },
  {
    name: 'fail-evict-unpause',
    defect: 'failed get leaves slot and xpinned',
    about:
      'Getting E’s pages fails, F evicts it: aux_mmap_count is −1. The next get brings it to 0, believes the pages are there and unpauses.',
    mends: ['pages-in'],
    setup: alternating(['run', 'sleep', 'run', 'write E', 'run'], ['run', 'sleep', 'run'], {
      failures: [{ call: 'getPage', event: 'E', nth: 2 }],
    }),
    looksAt: ['I2'],
    schedule: 'A. cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I2', step: 'write.store' }],
  },
  {
    name: 'double-evictor-slot',
    defect: 'slot without reference, claim not atomic',
    about:
      'Two works read the same old event from the slot: both unpin it, and the second store hides the first event for ever.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      preemptions: 2,
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run', 'run'] },
        { name: 'C', cpu: 0, events: ['G'], script: ['run'] },
      ],
    },
    looksAt: ['I3'],
    schedule: 'A. cpu0!cpu.switched B>slot.state cpu0!cpu.switched C. cpu0!cpu.switched B.',
    breaks: [{ invariant: 'I3', step: 'work.detach' }],
  },
  {
    name: 'migrate-mid-claim',
    defect: 'slot without reference, claim not atomic',
    about:
      'E’s work has taken the address of CPU 0’s slot, and goes on on CPU 1: it fills a slot of a CPU where it no longer runs.',
    mends: ['pages-in'],
    setup: {
      cpus: 2,
      preemptions: [1, 0],
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run', 'run'] },
      ],
      others: [{ name: 'balance', script: ['migrate A 1'] }],
    },
    schedule: 'A>slot.read cpu0!cpu.switched B>slot.store balance cpu1!cpu.switched A. B.',
    breaks: [{ invariant: 'I3', step: 'work.detach' }],
  },
  {
    name: 'filter-restart-in-populate',
    defect: 'D5',
    about:
      'Address filters change while E’s pages are got: the gate is open since the counts went up, so the event is restarted on no SG table.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'run'] }],
      others: [{ name: 'filter', script: ['restart E'] }],
    },
    schedule: 'A>pages-in.store filter. A.',
    breaks: [{ invariant: 'I7', step: 'user.run' }],
  },
  {
    name: 'writer-cut-by-unpin',
    defect: 'D6',
    about:
      'A, moved to CPU 1 in the middle of a system call, writes a record into E, which only CPU 0’s slot keeps pinned; F takes that slot between two stores.',
    mends: ['pages-in'],
    setup: {
      cpus: 2,
      preemptions: [1, 0],
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'write E', 'run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run'] },
      ],
      others: [{ name: 'balance', script: ['migrate A 1'] }],
    },
    schedule: 'A>write.enter cpu0!cpu.switched balance cpu1!cpu.switched A!write.store B. A.',
    breaks: [{ invariant: 'I2', step: 'write.store' }],
  },
  {
    name: 'two-events-one-task',
    defect: 'two events of one task',
    about:
      'Both events of A are ACTIVE; the last work of each residency evicts the other, which stays ACTIVE and is never started.',
    mends: ['pages-in'],
    setup: { cpus: 1, tasks: [{ name: 'A', cpu: 0, events: ['E', 'F'], script: ['run', 'sleep', 'run'] }] },
    schedule: 'A. cpu0!cpu.switched cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I7', step: 'user.run' }],
  },
  {
    name: 'rm-while-work-detached',
    defect: 'D8',
    about:
      'E’s file is removed while its work is on the detached list: no cancel finds it there, and it runs on a freed event.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    schedule: 'A!work.detach rm. A.',
    breaks: [{ invariant: 'I8', step: 'work.clear' }],
  },
  {
    name: 'rm-while-executing',
    defect: 'D8',
    about: 'E’s file is removed while its work runs: the work takes the slot again behind the sweep.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    schedule: 'A>slot.store rm. A.',
    breaks: [{ invariant: 'I8', step: 'slot.store' }],
  },
  {
    name: 'cancel-wrong-work',
    defect: 'cancel by function',
    about:
      'E is removed while both works of A are queued: the cancel takes F’s, whose flag stays set, so that it is never queued again; E’s own runs behind the free.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E', 'F'], script: ['run', 'run'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    schedule: 'rm. A.',
    breaks: [{ invariant: 'I8', step: 'event.free' }],
  },
  {
    name: 'evict-exited',
    defect: 'D7',
    about:
      'A exits with E in the slot. F’s work evicts it: the call reaches no task, the slot is overwritten, and E stays pinned.',
    mends: ['pages-in'],
    setup: alternating(['run', 'exit'], ['run', 'run']),
    schedule: 'A. cpu0!cpu.switched B.',
    breaks: [{ invariant: 'I4', step: 'page.get' }],
  },
  {
    name: 'exit-then-rm',
    defect: 'D10',
    about: 'A exits and its mm is freed; then E’s file is removed: the unmap locks an mm that is gone.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      ring: { injected: true },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'exit'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    schedule: 'A. rm.',
    breaks: [{ invariant: 'I11', step: 'unmap' }],
  },
  {
    name: 'exec-reinject',
    defect: 'D11',
    about: 'A execs: the address of the old mm’s mapping is still believed, so the new mm never gets one.',
    setup: {
      cpus: 1,
      ring: { injected: true },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'exec', 'sleep', 'run'] }],
    },
    schedule: 'A. cpu0!cpu.switched cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I11', step: 'user.run' }],
  },
  {
    name: 'fork-no-copy',
    defect: 'D12',
    about: 'A forks: the mapping of A’s ring is copied into the child, where it stays.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      ring: { injected: true },
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'fork B', 'run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run'] },
      ],
    },
    schedule: 'A. cpu0!cpu.switched B.',
    breaks: [{ invariant: 'I11', step: 'user.run' }],
  },
  {
    name: 'user-munmap',
    defect: 'D12',
    about: 'A unmaps its ring and maps something of its own there; removing E unmaps that.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      ring: { injected: true },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'munmap E', 'sleep', 'sleep'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    schedule: 'A!user.munmap rm. A.',
    breaks: [{ invariant: 'I11', step: 'unmap' }],
  },
  {
    name: 'setup-aux-fail-retry',
    defect: 'D13',
    about:
      'The SG table cannot be built once. The next get finds every page where it was, changes nothing, and fails for want of the table: for ever.',
    mends: ['pages-in'],
    setup: alternating(['run', 'sleep', 'run', 'sleep', 'run'], ['run', 'sleep', 'run'], {
      failures: [{ call: 'setupSg', event: 'E', nth: 1 }],
    }),
    looksAt: ['I7'],
    schedule: 'A. cpu0!cpu.switched B. cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I7', step: 'user.run' }],
  },
  {
    name: 'data-only-event',
    defect: 'D14',
    about: 'A ring without AUX pages: setup_aux is called for it all the same.',
    setup: {
      cpus: 1,
      ring: { dataPages: 2, auxPages: 0 },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'sleep', 'run'] }],
    },
    schedule: 'A. cpu0!cpu.switched cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I7', step: 'user.run' }],
  },
  {
    name: 'software-event',
    defect: 'D14',
    about: 'The same for a PMU that has no setup_aux at all: a call through a null pointer.',
    setup: {
      cpus: 1,
      ring: { dataPages: 2, auxPages: 0, auxPmu: false },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'write E', 'run'] }],
    },
    schedule: 'A.',
    breaks: [{ invariant: 'oops', step: 'aux.setup' }],
  },
  {
    name: 'swap-out-in-content',
    defect: 'none',
    about:
      'E is written, evicted, swapped out and pinned again: its content is back, in other frames, and the SG table knows them.',
    mends: ['pages-in'],
    setup: alternating(['run', 'write E', 'sleep', 'run', 'write E', 'run'], ['run', 'sleep', 'run'], {
      others: [{ name: 'reclaim', script: ['reclaim E 0', 'reclaim E 1', 'reclaim E 2'] }],
    }),
    schedule: 'A. cpu0!cpu.switched B. reclaim. cpu0!cpu.switched A.',
    breaks: [],
  },
  {
    name: 'lru-W-bound-and-charge',
    defect: 'D18',
    about: 'Three tasks on two CPUs: what is pinned at a time stays within the slots and within what was charged.',
    looksAt: ['I12'],
    setup: {
      cpus: 2,
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'sleep', 'run', 'exit'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run', 'sleep', 'run'] },
        { name: 'C', cpu: 1, events: ['G'], script: ['run', 'exit'] },
      ],
      others: [{ name: 'rm', script: ['remove E', 'remove F', 'remove G'] }],
    },
    schedule: 'A. C. cpu0!cpu.switched B. cpu0!cpu.switched A. cpu0!cpu.switched B. rm.',
    breaks: [{ invariant: 'I12', step: 'page.get' }],
  },
  {
    name: 'failed-map',
    defect: 'failed map',
    about:
      'vm_mmap fails: what it answers is stored as the address, so the ring counts as injected and is never mapped.',
    setup: {
      cpus: 1,
      ring: { injected: true },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'sleep', 'run'] }],
      failures: [{ call: 'mapRing', event: 'E', nth: 1 }],
    },
    schedule: 'A. cpu0!cpu.switched cpu0!cpu.switched A.',
    breaks: [{ invariant: 'I11', step: 'user.run' }],
  },
  {
    name: 'mprotect-ring',
    defect: 'D12',
    about: 'The mapping of a ring keeps VM_MAYWRITE: its task makes it writable and writes into its own records.',
    setup: {
      cpus: 1,
      ring: { injected: true },
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'mprotect E', 'run'] }],
    },
    schedule: 'A.',
    breaks: [{ invariant: 'I11', step: 'user.mprotect' }],
  },
  {
    name: 'cpu-offline',
    defect: 'D19',
    about:
      'A moves to CPU 1 and CPU 0 goes offline: nobody empties its slot, E stays pinned on account of a CPU that is gone.',
    setup: {
      cpus: 2,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'sleep', 'run'] }],
      others: [{ name: 'hotplug', script: ['migrate A 1', 'offline 0'] }],
    },
    schedule: 'A. cpu0!cpu.switched hotplug. cpu1!cpu.switched A.',
    breaks: [{ invariant: 'I9', step: 'cpu.dead' }],
  },
  {
    name: 'dump-while-active',
    defect: 'D20',
    about: 'A dumps core while its own event is on: aux_head in the core is that of the last stop.',
    setup: { cpus: 1, tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'dump', 'exit'] }] },
    schedule: 'A.',
    breaks: [{ invariant: 'I10', step: 'core.dump' }],
  },
];
