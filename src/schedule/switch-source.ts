/**
 * Which records of a capture say when threads are switched, decided once from its attrs; every reader follows.
 *
 *   SWITCH, SWITCH_CPU_WIDE   an attr asks for them (context_switch): in and out of each task that is recorded, and its
 *                             own thread ids, also in a pid namespace. Preferred.
 *   sched:sched_switch        its samples, where their format is in the capture: both sides of a switch.
 *   procfs samples            counters of /proc/PID/schedstat: sums of times, no switches.
 *
 * sched:sched_waking, sched_wakeup and sched_wakeup_new add when a sleeper becomes runnable, beside either kind.
 */
import { EventType, hasFlag, SampleType } from '../abi/event-attr.ts';
import { PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import { RecordType } from '../abi/record-table.ts';
import { parseTracepointFormat, type TracepointField, type TracepointFormat } from '../abi/tracepoint-format.ts';
import type { Capture } from '../perf-data/capture.ts';

export type SwitchRecordKind = 'SWITCH' | 'sched_switch';

/** Fields of a raw sample of sched_switch, and of a wakeup. */
export interface SwitchFields {
  readonly kind: 'switch';
  readonly prevPid: TracepointField;
  readonly prevState: TracepointField;
  readonly nextPid: TracepointField;
}

export interface WakeupFields {
  readonly kind: 'wakeup';
  readonly pid: TracepointField;
  /** sched_wakeup_new: the task's first. */
  readonly isNew: boolean;
}

export interface SwitchSource {
  /** Null: the capture does not record switches. */
  readonly switches: SwitchRecordKind | null;
  /** Whether its samples hold states and times of /proc. */
  readonly hasProcfs: boolean;
  /** By event: how its raw samples are laid out; undefined for an event that is not the scheduler's. */
  readonly fields: readonly (SwitchFields | WakeupFields | undefined)[];
}

export function switchSource(capture: Capture): SwitchSource {
  const formats = schedFormats(capture);
  const fields = capture.events.map(({ attr }) => {
    const isRaw = attr.type === EventType.tracepoint && (attr.sampleType & SampleType.raw) !== 0n;
    const format = isRaw && formats.find(({ id }) => id === attr.config);
    return format ? fieldsOf(format) : undefined;
  });
  return {
    switches: switchesOf(capture, fields),
    hasProcfs: capture.events.some(({ name }) => isProcfsEvent(name)),
    fields,
  };
}

/** Whether the event's samples hold /proc states: they are taken whatever the thread does, on a CPU or not. */
export function isProcfsEvent(name: string): boolean {
  return name === PROCFS_EVENT_NAME;
}

/** An attr that asks for SWITCH records is believed unless there is not one, and samples of sched_switch are there. */
function switchesOf(capture: Capture, fields: SwitchSource['fields']): SwitchRecordKind | null {
  const hasSamples = fields.some((each) => each?.kind === 'switch');
  const isAskedFor = capture.events.some(({ attr }) => hasFlag(attr, 'contextSwitch'));
  if ((isAskedFor && !hasSamples) || hasSwitchRecords(capture)) return 'SWITCH';
  return hasSamples ? 'sched_switch' : null;
}

function hasSwitchRecords(capture: Capture): boolean {
  for (let index = 0; index < capture.recordCount; index++) {
    const type = capture.typeAt(index);
    if (type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE) return true;
  }
  return false;
}

function schedFormats(capture: Capture): TracepointFormat[] {
  const decoder = new TextDecoder('latin1');
  const systems = capture.features.tracingData?.systems ?? [];
  return systems
    .filter(({ name }) => name === 'sched')
    .flatMap(({ formats }) => formats.flatMap((bytes) => parseTracepointFormat(decoder.decode(bytes)) ?? []));
}

const WAKEUPS: readonly string[] = ['sched_waking', 'sched_wakeup', 'sched_wakeup_new'];

function fieldsOf({ name, fields }: TracepointFormat): SwitchFields | WakeupFields | undefined {
  if (name === 'sched_switch') {
    const prevPid = fields.get('prev_pid');
    const prevState = fields.get('prev_state');
    const nextPid = fields.get('next_pid');
    return prevPid && prevState && nextPid ? { kind: 'switch', prevPid, prevState, nextPid } : undefined;
  }
  const pid = WAKEUPS.includes(name) ? fields.get('pid') : undefined;
  return pid && { kind: 'wakeup', pid, isNew: name === 'sched_wakeup_new' };
}
