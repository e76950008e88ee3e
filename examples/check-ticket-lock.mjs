// A protocol that is not ringkeep's, checked with `ringkeep/check`: the ticket lock, and what becomes of it when taking a
// ticket is a load and a store instead of one fetch-and-add.
//
//     npm run build && node examples/check-ticket-lock.mjs
import { Dpor, formatTrace, programOf, replay, search, shrink, step, tokenOf } from 'ringkeep/check';

/** Three threads go through a critical section once each. What a step touches is declared: the reduction rests on it. */
const ticketLock = ({ isAtomic }) =>
  programOf({
    name: isAtomic ? 'ticket-lock' : 'ticket-lock-torn',
    state: () => ({ next: 0, serving: 0, inside: 0 }),
    actors: Object.fromEntries(['A', 'B', 'C'].map((name) => [name, (s) => thread(s, isAtomic)])),
    invariants: { 'mutual exclusion': { over: ['inside'], holds: (s) => s.inside <= 1 || `${s.inside} are inside` } },
  });

function* thread(s, isAtomic) {
  let ticket;
  if (isAtomic) ticket = yield step('take ticket', { writes: ['next'], perform: () => s.next++ });
  else {
    ticket = yield step('load next', { reads: ['next'], perform: () => s.next });
    yield step('store next', { writes: ['next'], perform: () => (s.next = ticket + 1) });
  }
  // A wait is a step with a condition: it blocks, nothing spins.
  yield step('wait for turn', { reads: ['serving'], when: () => s.serving === ticket });
  yield step('enter', { writes: ['inside'], perform: () => s.inside++ });
  yield step('leave', { writes: ['inside'], perform: () => s.inside-- });
  yield step('serve next', { writes: ['serving'], perform: () => s.serving++ });
}

for (const isAtomic of [true, false]) {
  const program = ticketLock({ isAtomic });
  const { verdict, executions, redundant, findings } = search(program, new Dpor(), { findings: 'every' });
  console.log(`${program.name}: ${verdict}, ${executions - redundant} traces in ${executions} executions`);
  const finding = findings.find(({ invariant }) => invariant === 'mutual exclusion');
  if (finding) {
    const { invariant, schedule } = finding;
    const smallest = shrink(program, schedule, invariant);
    console.log(`\n${formatTrace(program, smallest.schedule)}`);
    console.log(`replay: ${tokenOf(program.name, '', replay(program, smallest.schedule))}`);
  }
}
