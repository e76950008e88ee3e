/**
 * Schedules as people write them: which actor runs how far, in words that survive a change of the program better than
 * counts.
 *
 *     A              one step
 *     A*5            five steps
 *     A>gate.open    until A's next step is gate.open
 *     A!gate.open    until A has performed gate.open
 *     A.             until A can go no further
 *
 * Separated by white space; A is an actor's name. After the last one the execution continues without a choice: an
 * actor runs while it can, then the next in turn.
 *
 * Invariant: a directive that cannot be followed is an error that says where it got to, never something else done
 * instead.
 */
import { RingkeepError } from '../base/error.ts';
import type { Program } from './program.ts';
import { type Replay, Replaying } from './replay.ts';

export type Directive =
  | { readonly kind: 'steps'; readonly actor: string; readonly count: number }
  | { readonly kind: 'before' | 'after'; readonly actor: string; readonly step: string }
  | { readonly kind: 'all'; readonly actor: string };

const DIRECTIVE = /^([^\s*>!.]+)(?:\*([1-9]\d{0,6})|([>!])(\S+)|(\.))?$/;
const DEFAULT_STEP_LIMIT = 10_000;

/** Throws `bad-argument` for what is no directive. */
export function parseDirectives(text: string): Directive[] {
  return text.split(/\s+/).filter(Boolean).map(parseDirective);
}

export function printDirectives(directives: readonly Directive[]): string {
  return directives.map(printDirective).join(' ');
}

/** Follows the directives from the program's beginning, and then continues to the end unless something broke. */
export function follow(program: Program, directives: readonly Directive[], stepLimit = DEFAULT_STEP_LIMIT): Replay {
  const replaying = new Replaying(program);
  for (const directive of directives) {
    if (replaying.isBroken) break;
    obey(replaying, directive, stepLimit);
  }
  replaying.complete(stepLimit);
  return replaying.result();
}

function obey(replaying: Replaying, directive: Directive, stepLimit: number): void {
  const { execution } = replaying;
  const actor = execution.actors.indexOf(directive.actor);
  const isOwed = (done: number): boolean => {
    switch (directive.kind) {
      case 'steps':
        return done < directive.count;
      case 'before':
        return replaying.next(actor) !== directive.step;
      case 'after':
        return done === 0 || replaying.steps.at(-1) !== directive.step;
      case 'all':
        return replaying.canRun(actor);
    }
  };
  if (actor < 0) throw disobeyed(directive, `there is no such actor; there are ${execution.actors.join(', ')}`);
  for (let done = 0; !replaying.isBroken && isOwed(done); done++) {
    if (!replaying.canRun(actor)) {
      const next = replaying.next(actor);
      throw disobeyed(
        directive,
        `after ${done} steps ${next === undefined ? 'it is at no step' : `it cannot perform ${next}`}`,
      );
    }
    if (replaying.schedule.length >= stepLimit) throw disobeyed(directive, `it continues after ${stepLimit} steps`);
    replaying.advance(actor);
  }
}

function parseDirective(text: string): Directive {
  const match = DIRECTIVE.exec(text);
  if (!match) throw new RingkeepError('bad-argument', `"${text}" is not a directive`, { argument: 'schedule', text });
  const [, actor, count, relation, step, all] = match;
  if (relation !== undefined) return { kind: relation === '>' ? 'before' : 'after', actor: actor!, step: step! };
  if (all !== undefined) return { kind: 'all', actor: actor! };
  return { kind: 'steps', actor: actor!, count: Number(count ?? 1) };
}

function printDirective(directive: Directive): string {
  switch (directive.kind) {
    case 'steps':
      return directive.count === 1 ? directive.actor : `${directive.actor}*${directive.count}`;
    case 'before':
      return `${directive.actor}>${directive.step}`;
    case 'after':
      return `${directive.actor}!${directive.step}`;
    case 'all':
      return `${directive.actor}.`;
  }
}

function disobeyed(directive: Directive, why: string): RingkeepError {
  const text = printDirective(directive);
  return new RingkeepError('bad-argument', `the schedule cannot be followed at ${text}: ${why}`, {
    argument: 'schedule',
    directive: text,
    why,
  });
}
