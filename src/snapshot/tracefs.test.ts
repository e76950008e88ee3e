import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attrFlags, EventType, eventAttr, SampleType } from '../abi/event-attr.ts';
import { Feature } from '../abi/perf-data.ts';
import { decodeRingkeepSection, RINGKEEP_FEATURE } from '../abi/ringkeep-section.ts';
import { encodeSample, type SampleBody, type SampleId } from '../abi/sample.ts';
import { decodeTracingData } from '../abi/tracing-data.ts';
import { type SnapshotEvent, writeSnapshot } from './snapshot.ts';
import { isInstalled, PerfDataImage, run } from './testing/perf-tool.ts';
import { CPU_CLOCK, input, START_NS, ThreadRecords, task } from './testing/synthetic.ts';
import { readTracingData } from './tracefs.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringkeep-tracepoint-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hasPerf = isInstalled('perf');
const hasTracefs = existsSync('/sys/kernel/tracing/events/sched/sched_switch/format');

/** An event for raw samples of the tracepoint `config`. */
function tracepointEvent(config: bigint, name = 'sched:sched_switch'): SnapshotEvent {
  const { identifier, ip, tid, time, cpu, period, raw } = SampleType;
  return {
    name,
    ids: [40n],
    tracepoint: { system: name.split(':')[0]!, name: name.split(':')[1]! },
    attr: eventAttr({
      type: EventType.tracepoint,
      config,
      samplePeriodOrFreq: 1n,
      sampleType: identifier | ip | tid | time | cpu | period | raw,
      flags: attrFlags('sampleIdAll', 'comm', 'mmap2', 'task', 'excludeKernel'),
    }),
  };
}

describe.skipIf(!hasPerf || !hasTracefs)('a tracepoint (skipped where perf or tracefs is absent)', () => {
  const capture = () => join(folder, 'capture.data');
  let samples: { id: SampleId; body: SampleBody }[];
  let image: PerfDataImage;
  let refused = '';
  beforeAll(() => {
    const { status, stderr } = run('perf', 'record', '-q', '-e', 'sched:sched_switch', '-a', '-o', capture(), 'true');
    if (status !== 0) {
      refused = `perf record refused: ${stderr.trim().split('\n')[0]}`;
      return;
    }
    image = new PerfDataImage(capture());
    samples = image.records().flatMap((record) => (record.name === 'SAMPLE' ? [record] : []));
  });

  it('of a snapshot is decoded by perf as in the capture that its samples come from', (context) => {
    if (refused) context.skip(refused);
    expect(samples.length).toBeGreaterThan(0);
    const event = tracepointEvent(image.attr.config);
    const records = samples.map(({ id, body }) => encodeSample({ ...id, id: 40n }, body, event.attr));
    const path = join(folder, 'snapshot.data');
    const cutNs = 1n << 62n;
    writeSnapshot(path, input({ events: [event], tasks: [task(1, 1, 'any', records)], cutNs }));
    const fields = (file: string) => {
      const { status, stdout, stderr } = run(
        'perf',
        'script',
        '-i',
        file,
        '--ns',
        '-F',
        'trace:tid,cpu,time,event,trace',
      );
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.trim());
    };
    expect(fields(path)).toEqual(fields(capture()));
    expect(fields(path)[0]).toMatch(/prev_comm=.* next_pid=\d+ next_prio=\d+/);
  });

  it('stands beside an event of another sample layout in one snapshot', (context) => {
    if (refused) context.skip(refused);
    const event = tracepointEvent(image.attr.config);
    const { id, body } = samples[0]!;
    const switched = encodeSample({ ...id, pid: 5, tid: 5, time: START_NS + 2n, id: 40n }, body, event.attr);
    const thread = new ThreadRecords(5, 5);
    const path = join(folder, 'both.data');
    const records = [thread.sample(START_NS + 1n, 0x1000n, 0x2000n), switched, thread.sample(START_NS + 3n, 0x1000n)];
    writeSnapshot(path, input({ events: [CPU_CLOCK, event], tasks: [task(5, 5, 'any', records)] }));
    const { status, stdout, stderr } = run('perf', 'script', '-i', path, '--ns', '-F', 'tid,time,event');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(
      stdout
        .split('\n')
        .map((line) => line.trim().replaceAll(/\s+/g, ' '))
        .filter(Boolean),
    ).toEqual([
      '5 1430.000000001: cpu-clock:',
      '5 1430.000000002: sched:sched_switch:',
      '5 1430.000000003: cpu-clock:',
    ]);
  });

  it('has the formats that perf itself writes', (context) => {
    if (refused) context.skip(refused);
    const peers = decodeTracingData(image.feature(Feature.tracingData)!);
    const { section, undecodable } = readTracingData([
      { system: 'sched', name: 'sched_switch', id: image.attr.config },
    ]);
    expect(undecodable).toEqual([]);
    expect(decodeTracingData(section)).toEqual(peers);
  });
});

describe('a tracepoint whose format cannot be read', () => {
  it('gets a stand-in, with which perf reads the rest', (context) => {
    const event = tracepointEvent(60_000n, 'nowhere:to_be_found');
    const raw = new Uint8Array(12);
    // common_type: perf 6.1 dies of a segmentation fault when it names no format.
    new DataView(raw.buffer).setUint16(0, 60_000, true);
    const sample = encodeSample({ pid: 1, tid: 1, time: 5n, id: 40n }, { raw }, event.attr);
    const path = join(folder, 'stand-in.data');
    writeSnapshot(path, input({ events: [event], tasks: [task(1, 1, 'any', [sample])] }));
    const section = decodeRingkeepSection(new PerfDataImage(path).feature(RINGKEEP_FEATURE)!);
    expect(section?.degraded).toEqual(['nowhere:to_be_found cannot be decoded: tracefs does not show its format']);
    if (!hasPerf) context.skip('perf is absent');
    const { status, stdout, stderr } = run('perf', 'script', '-i', path);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('nowhere:to_be_found: format unknown');
  });

  it('gets a stand-in without tracefs, and where the id is that of another kernel', () => {
    const tracepoint = { system: 'sched', name: 'sched_switch', id: 60_000n };
    for (const folders of [[join(folder, 'absent')], ['/sys/kernel/tracing']]) {
      const { section, undecodable } = readTracingData([tracepoint, tracepoint], folders);
      expect(undecodable).toEqual(['sched:sched_switch']);
      const decoded = decodeTracingData(section);
      expect(decoded?.headerPage.length).toBeGreaterThan(0);
      expect(decoded?.systems.map(({ name, formats }) => [name, formats.length])).toEqual([['sched', 1]]);
    }
  });
});
