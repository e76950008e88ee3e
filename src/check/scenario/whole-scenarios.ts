/**
 * Scenarios that are about no single defect: the live recorder's use, and larger set-ups for all orders or for random
 * ones.
 */
import type { Scenario } from './scenario.ts';

export const WHOLE_SCENARIOS: readonly Scenario[] = [
  {
    name: 'live-recorder',
    defect: 'none',
    about:
      'The live recorder’s use of the protocol: one actor that takes in the records of three threads from two CPUs, small pins that grow, while reclaim takes what it can.',
    setup: {
      cpus: 2,
      ring: { dataPages: 2, auxPages: 0, auxPmu: false },
      extentPages: 1,
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: [], isElsewhere: true },
        { name: 'B', cpu: 0, events: ['F'], script: [], isElsewhere: true },
        { name: 'C', cpu: 1, events: ['G'], script: [], isElsewhere: true },
      ],
      others: [
        {
          name: 'recorder',
          script: [
            'turn E 0',
            'turn F 0',
            'turn F 0',
            'turn G 1',
            'turn E 1',
            'turn F 0',
            'remove F',
            'turn E 0',
            'remove E',
          ],
        },
        { name: 'reclaim', script: ['reclaim E 1', 'reclaim F 2', 'reclaim E 0'] },
      ],
    },
    schedule: '',
    breaks: [{ invariant: 'oops', step: 'setup_aux' }],
  },
  {
    name: 'two-by-two-by-two',
    defect: 'none',
    about: 'Two CPUs, two tasks, two events, a removal: no defect in particular, all orders.',
    setup: {
      cpus: 2,
      ring: { dataPages: 0 },
      preemptions: [1, 0],
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run'] },
        { name: 'B', cpu: 1, events: ['F'], script: ['run'] },
      ],
      others: [{ name: 'rm', script: ['remove E'] }],
    },
    mends: ['pages-in'],
    schedule: 'A!shmem_events.set rm. A.',
    breaks: [{ invariant: 'I8', step: 'xpinned.inc' }],
  },
  {
    name: 'three-by-four-by-four',
    defect: 'none',
    about:
      'Three CPUs, four tasks, four events, with reclaim, a removal, an exit, a migration and a failing page: for the strategies that try, not for those that exhaust.',
    setup: {
      cpus: 3,
      preemptions: 2,
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'write E', 'sleep', 'run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run', 'write F', 'run', 'exit'] },
        { name: 'C', cpu: 1, events: ['G'], script: ['run', 'user-page G', 'run'] },
        { name: 'D', cpu: 2, events: ['H'], script: ['run', 'sleep', 'write H', 'run'] },
      ],
      others: [
        { name: 'rm', script: ['remove G'] },
        { name: 'balance', script: ['migrate A 1', 'migrate B 2'] },
        { name: 'filter', script: ['restart E', 'restart H'] },
        { name: 'reclaim', script: ['reclaim E 1', 'reclaim F 2', 'reclaim H 0'] },
      ],
      failures: [{ call: 'getPage', event: 'F', nth: 2 }],
    },
    mends: ['pages-in'],
    schedule: 'A. B. C. D.',
    breaks: [],
  },
];
