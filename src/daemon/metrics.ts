/**
 * The status as metrics. Source: the Prometheus text exposition format 0.0.4: HELP and TYPE before the samples of a
 * metric; counters end in _total; units are base units. Invariant: names are stable.
 */
import type { DetachedStatus } from '../session/control.ts';
import type { TriggerStatus } from './recorder-api.ts';

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly samples: readonly Sample[];
}

export function formatMetrics(status: DetachedStatus, triggers: readonly TriggerStatus[]): string {
  return [...recorderMetrics(status), ...attachmentMetrics(status), ...triggerMetrics(triggers)]
    .map(formatMetric)
    .join('');
}

function recorderMetrics(status: DetachedStatus): Metric[] {
  const { stats, memoryBytes } = status;
  const one =
    (type: Metric['type']) =>
    (name: string, help: string, value: number): Metric => ({
      name,
      type,
      help,
      samples: [{ value }],
    });
  const counter = one('counter');
  const gauge = one('gauge');
  return [
    {
      name: 'ringkeep_build_info',
      type: 'gauge',
      help: 'Always 1; the version and the source of records.',
      samples: [{ labels: { version: status.version, source: status.source }, value: 1 }],
    },
    gauge('ringkeep_start_time_seconds', 'When the recorder started, since the epoch.', status.startedWallMs / 1000),
    gauge('ringkeep_threads', 'Living threads being recorded.', status.threads),
    gauge('ringkeep_attachments', 'Attachments.', status.attachments.length),
    counter('ringkeep_tasks_total', 'Tasks that got a ring.', stats.tasks),
    counter('ringkeep_unrecorded_tasks_total', 'Tasks left unrecorded because of a limit.', stats.unrecordedTasks),
    counter('ringkeep_records_total', 'Records read.', stats.records),
    counter('ringkeep_lost_records_total', 'Records lost, for any reason.', stats.lost),
    counter(
      'ringkeep_kernel_lost_records_total',
      'Records lost because a ring buffer of the kernel was full.',
      stats.kernelLost,
    ),
    counter('ringkeep_pins_total', 'Rings pinned.', stats.pins),
    counter('ringkeep_unpins_total', 'Rings unpinned.', stats.unpins),
    counter('ringkeep_pin_failures_total', 'Pins that the kernel refused.', stats.pinFailures),
    counter('ringkeep_evicted_rings_total', 'Rings of exited threads evicted for lack of memory.', stats.evictedRings),
    counter('ringkeep_unknown_ends_total', 'Processes whose exit status is unknown.', stats.unknownEnds),
    gauge('ringkeep_pinned_bytes', 'Locked memory now.', stats.pinnedBytes.now),
    gauge('ringkeep_pinned_peak_bytes', 'Peak of locked memory.', stats.pinnedBytes.peak),
    gauge('ringkeep_pinned_bound_bytes', 'Upper bound of locked memory.', stats.pinnedBytes.bound),
    gauge('ringkeep_ring_memory_bytes', 'Memory of all rings now.', memoryBytes.now),
    gauge('ringkeep_ring_memory_cap_bytes', 'Upper bound of the memory of all rings.', memoryBytes.cap),
    counter('ringkeep_cpu_seconds_total', 'CPU time of the recorder.', status.recorderCpuSeconds),
  ];
}

function attachmentMetrics({ attachments }: DetachedStatus): Metric[] {
  const each = (value: (attachment: DetachedStatus['attachments'][number]) => number) =>
    attachments.map((attachment) => ({ labels: { attachment: attachment.name }, value: value(attachment) }));
  return [
    {
      name: 'ringkeep_attachment_threads',
      type: 'gauge',
      help: 'Living threads of the attachment being recorded.',
      samples: each(({ threads }) => threads),
    },
    {
      name: 'ringkeep_attachment_unrecorded_threads',
      type: 'gauge',
      help: 'Threads of the attachment without a ring.',
      samples: each(({ unrecorded }) => unrecorded),
    },
  ];
}

function triggerMetrics(triggers: readonly TriggerStatus[]): Metric[] {
  const each = (value: (trigger: TriggerStatus) => number) =>
    triggers.map((trigger) => ({ labels: { trigger: String(trigger.id), on: trigger.on }, value: value(trigger) }));
  return [
    {
      name: 'ringkeep_trigger_fired_total',
      type: 'counter',
      help: 'Times the trigger fired.',
      samples: each(({ fired }) => fired),
    },
    {
      name: 'ringkeep_trigger_suppressed_total',
      type: 'counter',
      help: 'Firings suppressed by the rate limit of the trigger.',
      samples: each(({ suppressed }) => suppressed),
    },
  ];
}

function formatMetric({ name, type, help, samples }: Metric): string {
  if (samples.length === 0) return '';
  const lines = samples.map(({ labels = {}, value }) => `${name}${formatLabels(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (character) => ESCAPES[character]!)}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
