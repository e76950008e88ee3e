/**
 * Scenarios of slots, works and removal: what breaks because a slot and a work hold no reference, and a claim is not
 * atomic.
 */
import { alternating, type Scenario } from './scenario.ts';

export const CLAIM_SCENARIOS: readonly Scenario[] = [
  {
    name: 'double-evictor-slot',
    defect: 'slot without reference, claim not atomic',
    about:
      'Two works read the same old event from the slot: both unpin it, and the second store hides the first event for ever.',
    mend: 'a slot list changes under its lock, pin counts with it.',
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
    schedule: 'A. cpu0!cpu.switched B>old_event.state cpu0!cpu.switched C. cpu0!cpu.switched B.',
    breaks: [{ invariant: 'I3', step: 'task_work_run.detach' }],
  },
  {
    name: 'migrate-mid-claim',
    defect: 'slot without reference, claim not atomic',
    about:
      'E’s work has taken the address of CPU 0’s slot, and continues on CPU 1: it fills a slot of a CPU where it no longer runs.',
    mend: 'look where the task runs once the list is locked; if it has moved, its new CPU has queued the work again.',
    mends: ['pages-in'],
    setup: {
      cpus: 2,
      ring: { dataPages: 0 },
      preemptions: [1, 0],
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run'] },
      ],
      others: [{ name: 'balance', script: ['migrate A 1'] }],
    },
    looksAt: ['I3'],
    schedule: 'A>shmem_events.read cpu0!cpu.switched B>shmem_events.set balance cpu1!cpu.switched A. B.',
    breaks: [{ invariant: 'I3', step: 'task_work_run.detach' }],
  },
  {
    name: 'filter-restart-in-populate',
    defect: 'D5',
    about:
      'Address filters change while E’s pages are got: the gate is open since the counts went up, so the start finds no SG table and leaves a transaction open for ever.',
    mend: 'a gate of its own, opened when every page and the SG table are there; and only what was started before is restarted.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'run'] }],
      others: [{ name: 'filter', script: ['restart E'] }],
    },
    schedule: 'A>shmem_pages_in.set filter. A.',
    breaks: [{ invariant: 'I7', step: 'user.run' }],
  },
  {
    name: 'writer-cut-by-unpin',
    defect: 'D6',
    about:
      'A, moved to CPU 1 in the middle of a system call, writes a record into E, which only CPU 0’s slot keeps pinned; F takes that slot between two stores.',
    mend: 'writers announce themselves before they look at the gate; an unpin shuts it and waits for them.',
    mends: ['pages-in'],
    setup: {
      cpus: 2,
      preemptions: [1, 0],
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['write E'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run'] },
      ],
      others: [{ name: 'balance', script: ['migrate A 1'] }],
    },
    looksAt: ['I2'],
    schedule: 'A>write.enter cpu0!cpu.switched balance cpu1!cpu.switched A!write.store B. A.',
    breaks: [{ invariant: 'I2', step: 'write.store' }],
  },
  {
    name: 'two-events-one-task',
    defect: 'two events of one task',
    about:
      'Both events of A are ACTIVE; the last work of each residency evicts the other, which stays ACTIVE and is never started.',
    mend: 'admit at most W such events to a CPU at sched-in; rotation shares it among the others.',
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
    mend: 'a queued work holds a reference on its event.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    looksAt: ['I8'],
    schedule: 'A!task_work_run.detach rm. A.',
    breaks: [{ invariant: 'I8', step: 'get_pages_work.clear' }],
  },
  {
    name: 'rm-while-executing',
    defect: 'D8',
    about: 'E’s file is removed while its work runs: the work takes the slot again after the sweep.',
    mend: 'the same, and insertion looks under the list’s lock whether the event is dead; removal marks it, then sweeps.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    looksAt: ['I8'],
    schedule: 'A>shmem_events.set rm. A.',
    breaks: [{ invariant: 'I8', step: 'shmem_events.set' }],
  },
  {
    name: 'cancel-wrong-work',
    defect: 'cancel by function',
    about:
      'E is removed while both works of A are queued: the cancel takes F’s, whose flag stays set, so that it is never queued again; E’s own runs after the free.',
    mend: 'cancel nothing: a work looks whether its event is dead.',
    mends: ['pages-in'],
    setup: {
      cpus: 1,
      tasks: [{ name: 'A', cpu: 0, events: ['E', 'F'], script: ['run', 'run'] }],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    schedule: 'rm. A.',
    breaks: [{ invariant: 'I8', step: 'free_event_rcu' }],
  },
  {
    name: 'evict-exited',
    defect: 'D7',
    about:
      'A exits with E in the slot. F’s work evicts it: the call reaches no task, the slot is overwritten, and E stays pinned.',
    mend: 'exit retires its events: marks them dead, and sweeps every list.',
    mends: ['pages-in'],
    setup: alternating(['run', 'exit'], ['run', 'run']),
    schedule: 'A. cpu0!cpu.switched B.',
    breaks: [{ invariant: 'I4', step: 'shmem_getpage' }],
  },
];
