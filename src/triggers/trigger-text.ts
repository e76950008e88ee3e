/**
 * The conditions of `trigger add --on`, parsed and formatted.
 *
 *   exit-signal            exit-signal:SEGV,ABRT
 *   exit-status            exit-status:3,4
 *   stall>200ms            stall:blocked>200ms            off-cpu is an alias of stall
 *   runqueue>50ms
 *   tracepoint:sched:sched_process_exit                   tracepoint:sched:sched_process_exit/comm ~ "nginx*"/
 *   psi:memory>150ms/1s    psi:io:full>100ms/2s           `some` by default
 *
 * Invariant: what `formatTrigger` writes reads back as the same condition.
 */
import { HARMLESS_SIGNALS, signalName, signalNumber } from '../abi/signal.ts';
import { formatDurationExactly } from '../base/units.ts';
import { LONGEST_WINDOW_NS, type PressureThreshold, SHORTEST_WINDOW_NS } from '../linux/pressure.ts';
import { parsedDuration, refuseUnless, type TriggerCondition } from './trigger.ts';

const KINDS = 'exit-signal, exit-status, stall>200ms, runqueue>50ms, tracepoint:SYSTEM:NAME or psi:memory>150ms/1s';

/** Throws `bad-argument` with a sentence that shows a correct condition. */
export function parseTrigger(text: string): TriggerCondition {
  const [, word = '', rest = ''] = /^([a-z-]*)(.*)$/s.exec(text.trim())!;
  switch (word) {
    case 'exit-signal':
      return { kind: 'exit-signal', signals: parseList(text, rest, parseSignal, 'exit-signal:SEGV,ABRT') };
    case 'exit-status':
      return { kind: 'exit-status', statuses: parseList(text, rest, parseStatus, 'exit-status:3') };
    case 'stall':
    case 'off-cpu': {
      const [, blocked, threshold = ''] = /^(:blocked)?\s*(.*)$/s.exec(rest)!;
      const thresholdNs = parseThreshold(text, threshold, `${word}>200ms or ${word}:blocked>200ms`);
      return { kind: 'stall', thresholdNs, isBlockedOnly: blocked !== undefined };
    }
    case 'runqueue':
      return { kind: 'runqueue', thresholdNs: parseThreshold(text, rest, 'runqueue>50ms') };
    case 'tracepoint':
      return parseTracepoint(text, rest);
    case 'psi':
      return { kind: 'psi', ...parsePressure(text, rest) };
    default:
      refuseUnless(false, () => `unknown trigger "${text}"; expected ${KINDS}`);
  }
}

export function formatTrigger(condition: TriggerCondition): string {
  const list = (values: readonly (string | number)[]) => (values.length > 0 ? `:${values.join(',')}` : '');
  switch (condition.kind) {
    case 'exit-signal':
      return `exit-signal${list(condition.signals.map((name) => name.slice('SIG'.length)))}`;
    case 'exit-status':
      return `exit-status${list(condition.statuses)}`;
    case 'stall':
      return `stall${condition.isBlockedOnly ? ':blocked' : ''}>${formatDurationExactly(condition.thresholdNs)}`;
    case 'runqueue':
      return `runqueue>${formatDurationExactly(condition.thresholdNs)}`;
    case 'tracepoint': {
      const { system, name, filter } = condition;
      return `tracepoint:${system}:${name}${filter === null ? '' : `/${filter}/`}`;
    }
    case 'psi': {
      const { resource, share, thresholdNs, windowNs } = condition;
      const times = `${formatDurationExactly(thresholdNs)}/${formatDurationExactly(windowNs)}`;
      return `psi:${resource}${share === 'full' ? ':full' : ''}>${times}`;
    }
  }
}

/** Empty, or a colon and comma-separated values; without duplicates, in the order given. */
function parseList<T>(text: string, rest: string, parse: (item: string) => T, right: string): T[] {
  if (rest === '') return [];
  refuseUnless(
    /^:./s.test(rest),
    () => `malformed trigger "${text}"; expected ${right.replace(/:.*/, '')} or ${right}`,
  );
  const items = rest.slice(1).split(',');
  return [...new Set(items.map((item) => parse(item.trim())))];
}

function parseSignal(text: string): string {
  const number = signalNumber(text);
  refuseUnless(
    number !== undefined,
    () => `unknown signal "${text}"; expected a name or number such as SEGV, SIGSEGV or 11`,
  );
  const name = signalName(number)!;
  refuseUnless(
    !HARMLESS_SIGNALS.has(number),
    () => `${name} does not end a process; expected a signal that does, such as SEGV`,
  );
  return name;
}

function parseStatus(text: string): number {
  refuseUnless(/^\d{1,3}$/.test(text) && Number(text) <= 255, () => {
    return `"${text}" is not an exit status; expected a number from 0 to 255, as in exit-status:3`;
  });
  return Number(text);
}

/** The duration after `>`. */
function parseThreshold(text: string, rest: string, right: string): number {
  const wrong = () => `"${text}" has no threshold of up to 24h; expected ${right}`;
  const [, threshold] = /^\s*>(.+)$/s.exec(rest) ?? [];
  refuseUnless(threshold !== undefined, wrong);
  return parsedDuration(threshold, wrong);
}

function parseTracepoint(text: string, rest: string): TriggerCondition {
  const [, system, name, , filter] = /^:([\w-]+):([\w-]+)(\s*\/(.*)\/)?$/s.exec(rest) ?? [];
  refuseUnless(system !== undefined && name !== undefined, () => {
    return `"${text}" names no tracepoint; expected tracepoint:sched:sched_process_exit, or with a filter tracepoint:sched:sched_process_exit/comm ~ "nginx*"/`;
  });
  if (filter === undefined) return { kind: 'tracepoint', system, name, filter: null };
  refuseUnless(/^[^\0\n]*\S[^\0\n]*$/.test(filter), () => {
    return `the filter of "${text}" must be one line between slashes, as in /comm ~ "nginx*"/`;
  });
  return { kind: 'tracepoint', system, name, filter: filter.trim() };
}

function parsePressure(text: string, rest: string): PressureThreshold {
  const wrong = () =>
    `"${text}" is not a pressure threshold; expected one such as psi:memory>150ms/1s, psi:cpu>500ms/1s or psi:io:full>100ms/2s`;
  const match = /^:(cpu|memory|io)(?::(some|full))?\s*>([^/]+)\/(.+)$/s.exec(rest);
  refuseUnless(match !== null, wrong);
  const [, resource, share = 'some', threshold, window] = match as unknown as [
    string,
    PressureThreshold['resource'],
    PressureThreshold['share'] | undefined,
    string,
    string,
  ];
  const thresholdNs = parsedDuration(threshold, wrong);
  const windowNs = parsedDuration(window, wrong);
  refuseUnless(resource !== 'cpu' || share === 'some', () => {
    return 'there is no full pressure on CPUs of a machine; expected psi:cpu without full';
  });
  refuseUnless(windowNs >= SHORTEST_WINDOW_NS && windowNs <= LONGEST_WINDOW_NS, () => {
    return `the window of "${text}" must be from 500ms to 10s, as in psi:${resource}>150ms/1s`;
  });
  refuseUnless(thresholdNs <= windowNs, () => {
    return `"${text}" has a threshold longer than its window; expected the shorter time first, as in psi:${resource}>150ms/1s`;
  });
  refuseUnless(thresholdNs % 1000 === 0 && windowNs % 1000 === 0, () => {
    return `the kernel measures pressure in whole microseconds, as in psi:${resource}>150ms/1s`;
  });
  return { resource, share, thresholdNs, windowNs };
}
