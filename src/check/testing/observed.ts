/**
 * What a search saw, for comparing one strategy with another: the traces, the final states, what broke.
 *
 * Invariant: two executions have the same trace text exactly when they are equivalent: the same events of each actor
 * with the same happens-before relation, which the clocks of all events spell out.
 */
import { History } from '../history.ts';
import type { Execution, Program } from '../program.ts';
import { type SearchOptions, type SearchResult, search } from '../search.ts';
import { StepTable } from '../step-table.ts';
import type { Strategy } from '../strategy/strategy.ts';

export interface Seen {
  readonly result: SearchResult;
  /** Traces of the executions that ended by themselves, redundant ones left out. */
  readonly traces: ReadonlySet<string>;
  /** Executions that ended by themselves. */
  readonly complete: number;
  readonly finalStates: ReadonlySet<string>;
  readonly broken: ReadonlySet<string>;
}

/** Searches to the end, for every finding, and remembers what was seen. */
export function observe(program: Program, strategy: Strategy, options: SearchOptions = {}): Seen {
  const traces = new Set<string>();
  const finalStates = new Set<string>();
  const broken = new Set<string>();
  let complete = 0;
  const schedule: number[] = [];
  const watched: Strategy = {
    name: strategy.name,
    begin: () => strategy.begin(),
    choose: (execution, depth) => {
      const actor = strategy.choose(execution, depth);
      if (actor >= 0) schedule[depth] = actor;
      return actor;
    },
    end: (execution, depth) => {
      strategy.end(execution, depth);
      if (execution.enabled().length > 0) return;
      complete++;
      traces.add(traceOf(program, schedule.slice(0, depth)));
      finalStates.add(finalState(execution));
      for (const { invariant } of execution.violations) broken.add(invariant);
      if (execution.unfinished().length > 0) broken.add('deadlock');
    },
    isComplete: () => strategy.isComplete(),
    fraction: () => strategy.fraction(),
    notes: () => strategy.notes(),
  };
  const result = search(program, watched, { findings: 'every', ...options });
  return { result, traces, complete, finalStates, broken };
}

function finalState(execution: Execution): string {
  const blocked = execution
    .unfinished()
    .map((actor) => `${execution.actors[actor]} at ${execution.pending(actor)?.name}`);
  return [execution.describe(), ...blocked].join('; ');
}

/** The trace of a schedule: for each actor, its events with their clocks. */
export function traceOf(program: Program, schedule: readonly number[]): string {
  const execution = program.begin();
  const table = new StepTable();
  const history = new History(execution.actors.length, table);
  const events: string[][] = execution.actors.map(() => []);
  for (const actor of schedule) {
    const step = table.idOf(execution.pending(actor));
    history.races(actor, step);
    history.push(actor, step);
    const depth = history.length - 1;
    const before = execution.actors.map((_, other) => {
      const last = history.lastOf(other);
      let count = 0;
      for (let d = 0; d <= last; d++)
        if (history.actorAt(d) === other && (d === depth || history.happensBefore(d, depth))) count++;
      return count;
    });
    events[actor]!.push(`${table.nameOf(step)}<${before.join(',')}>`);
    execution.advance(actor);
  }
  return events.map((list) => list.join(' ')).join(' | ');
}
