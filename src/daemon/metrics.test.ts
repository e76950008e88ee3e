import { describe, expect, it } from 'vitest';
import { formatMetrics } from './metrics.ts';
import { FakeRecorder } from './testing/fake-recorder.ts';

interface Parsed {
  readonly type: string;
  readonly help: string;
  readonly samples: Map<string, number>;
}

/** A strict reader of the text format: what it does not expect it throws at. */
function parse(text: string): Map<string, Parsed> {
  const metrics = new Map<string, Parsed>();
  let current: Parsed | undefined;
  let name = '';
  for (const line of text.trimEnd().split('\n')) {
    const head = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (head?.[1] === 'HELP') {
      name = head[2]!;
      if (metrics.has(name)) throw new Error(`${name} comes twice`);
      current = { help: head[3]!, type: '', samples: new Map() };
      metrics.set(name, current);
    } else if (head) {
      if (head[2] !== name) throw new Error(`the type of ${head[2]} is not behind its help`);
      Object.assign(current!, { type: head[3] });
    } else {
      const sample = /^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (-?[0-9.e+-]+)$/.exec(line);
      if (sample?.[1] !== name) throw new Error(`not a sample of ${name}: ${line}`);
      current!.samples.set(sample[2] ?? '', Number(sample[3]));
    }
  }
  return metrics;
}

describe('the metrics', () => {
  it('are well-formed: each with its help and type, counters ending in _total and nothing else', async () => {
    const recorder = new FakeRecorder();
    await recorder.attach({ kind: 'all' }, 'all');
    recorder.addTrigger('exit-signal', {});
    const metrics = parse(formatMetrics(recorder.status(), recorder.triggers()));
    expect(metrics.size).toBeGreaterThan(20);
    for (const [name, { type, help, samples }] of metrics) {
      expect(name.startsWith('ringkeep_')).toBe(true);
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter']);
      expect(help.endsWith('.')).toBe(true);
      expect(samples.size).toBeGreaterThan(0);
    }
    expect(metrics.get('ringkeep_records_total')!.samples.get('')).toBe(1000);
    expect(metrics.get('ringkeep_pinned_bound_bytes')!.samples.get('')).toBe(278_528);
    expect(metrics.get('ringkeep_start_time_seconds')!.samples.get('')).toBe(1_700_000_000);
    expect(metrics.get('ringkeep_attachment_threads')!.samples.get('{attachment="all"}')).toBe(1);
  });

  it('escape the values of labels', () => {
    const recorder = new FakeRecorder();
    recorder.addTrigger('tracepoint:a:b/comm ~ "x\\*"\n/', {});
    const fired = parse(formatMetrics(recorder.status(), recorder.triggers())).get('ringkeep_trigger_fired_total')!;
    expect([...fired.samples.keys()]).toEqual(['{trigger="1",on="tracepoint:a:b/comm ~ \\"x\\\\*\\"\\n/"}']);
  });

  it('omit metrics without samples', () => {
    const metrics = parse(formatMetrics(new FakeRecorder().status(), []));
    expect(metrics.has('ringkeep_trigger_fired_total')).toBe(false);
    expect(metrics.has('ringkeep_attachment_threads')).toBe(false);
  });
});
