import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { attrFlags, SampleType } from '../abi/event-attr.ts';
import { withProcessSideBand } from './process-side-band.ts';
import { snapshotsOfRings } from './recovered-snapshot.ts';
import { type SnapshotInput, type SnapshotReport, writeSnapshot } from './snapshot.ts';
import { isInstalled, PerfDataImage, run } from './testing/perf-tool.ts';
import { foundIn, JOURNAL_NAME, MOMENT, RECORDER_FILES, ringImage, sideBandImage } from './testing/ring-files.ts';
import { CPU_CLOCK, CPU_CLOCK_ID, START_NS, ThreadRecords } from './testing/synthetic.ts';

const START = { startTimeNs: START_NS };
const main = new ThreadRecords(100, 100);

const hasPerf = isInstalled('perf');
const folder = mkdtempSync(join(tmpdir(), 'ringkeep-recovered-'));
const output = join(folder, 'out.perf.data');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(input: SnapshotInput): SnapshotReport {
  return writeSnapshot(output, input);
}

function perfScript(): { status: number | null; stderr: string; stdout: string } {
  return run('perf', 'script', '--no-inline', '-i', output, '-F', 'comm,pid,tid,time,event', '--show-task-events');
}

describe('the snapshot of orphaned rings', () => {
  it('holds every record of the rings and of the side-band log, once', () => {
    const rings = foundIn(RECORDER_FILES);
    const { inputs, problems } = snapshotsOfRings(rings, MOMENT);
    expect([inputs.length, problems]).toEqual([1, []]);
    const report = write(inputs[0]!);
    expect(report.rings.map(({ tid, records, alive }) => [tid, records, alive])).toEqual([
      [200, 20, true],
      [100, 31, true],
      [101, rings.rings.find(({ contents }) => contents.header.tid === 101)!.contents.recordCount, true],
    ]);
    expect(report.leftOutBytes).toBe(0);
    const inFile = new Set(new PerfDataImage(output).recordBytes().map((bytes) => Buffer.from(bytes).toString('hex')));
    for (const { contents } of rings.rings) {
      const { records } = contents;
      for (let at = 0; at < records.length; ) {
        const size = Buffer.from(records.buffer, records.byteOffset).readUInt16LE(at + 6);
        expect(inFile.has(Buffer.from(records.subarray(at, at + size)).toString('hex'))).toBe(true);
        at += size;
      }
    }
  });

  it('accepts the ids of all attachments for an event', () => {
    const [input] = snapshotsOfRings(foundIn(RECORDER_FILES), MOMENT).inputs;
    expect(input!.events.map(({ name, ids }) => [name, new Set(ids)])).toEqual([
      ['cpu-clock', new Set([77n, 78n, CPU_CLOCK_ID, 24n])],
    ]);
  });

  it('ends with the newest record, or now while a recorder is running; reports which, and what the kernel lost', () => {
    const rings = foundIn(RECORDER_FILES);
    const [gone] = snapshotsOfRings(rings, MOMENT).inputs;
    expect(gone!.cutNs).toBe(START_NS + 10n + 399n);
    expect(gone!.section).toMatchObject({ reason: 'recover', source: 'perf', kernelLost: 5, death: null });
    expect(gone!.section.degraded).toEqual([expect.stringMatching(/the recorder was killed/)]);
    const [live] = snapshotsOfRings(rings, { ...MOMENT, livingRecorder: 4711 }).inputs;
    expect(live!.cutNs).toBe(MOMENT.clock.clockNs);
    expect(live!.section.degraded).toEqual([expect.stringMatching(/pid 4711, is still running/)]);
  });

  it('distinguishes exited and living threads, and adds a LOST record for losses that no record reports', () => {
    const image = ringImage([main.lost(START_NS, 2n)], START, [CPU_CLOCK], (writer) => {
      writer.countLost(5);
      writer.setExit(START_NS + 9n);
    });
    const [input] = snapshotsOfRings(foundIn({ '100': image }), MOMENT).inputs;
    expect([...input!.tasks]).toMatchObject([{ alive: false, lost: 5, pendingLost: 3 }]);
    expect(input!.section.degraded).toContainEqual(expect.stringMatching(/no side-band log/));
  });

  it('is one per layout: records with another trailer cannot share a file', () => {
    const attr = { ...CPU_CLOCK.attr, sampleType: CPU_CLOCK.attr.sampleType & ~SampleType.cpu };
    const found3 = foundIn({
      ...RECORDER_FILES,
      'old/software/300': ringImage([], { tid: 300 }, [{ name: 'cpu-clock', attr, ids: [99n] }]),
      'old/software/301': ringImage([], { tid: 301 }, [
        CPU_CLOCK,
        { name: 'other', attr: { ...attr, flags: attrFlags() }, ids: [] },
      ]),
    });
    const { inputs, problems } = snapshotsOfRings(found3, MOMENT);
    expect(inputs.map(({ tasks }) => [...tasks].map(({ tid }) => tid))).toEqual([[200, 100, 101], [300]]);
    expect(inputs.map(({ sideBandLog }) => sideBandLog.length > 0)).toEqual([true, false]);
    expect(problems.map(({ why }) => why)).toEqual(['its event table is damaged']);
    expect(inputs[0]!.section.degraded).toContainEqual(expect.stringMatching(/not in this file.*: 2$/));
  });

  it('of one ring alone has the names and mappings of its process, and of no other', () => {
    const all = foundIn(RECORDER_FILES);
    const one = { ...all, rings: all.rings.filter(({ contents }) => contents.header.tid === 101) };
    write(snapshotsOfRings(withProcessSideBand(one), MOMENT).inputs[0]!);
    const records = new PerfDataImage(output).records();
    const named = records.flatMap((record) => (record.name === 'COMM' ? [[record.body.tid, record.body.comm]] : []));
    expect(named).toEqual([
      [100, 'main'],
      [101, 'worker'],
    ]);
    expect(records.filter(({ name }) => name === 'MMAP2')).toHaveLength(1);
  });

  it('has one thread for each task, also without a side-band log: its FORK stands in the ring of its parent', () => {
    const worker = new ThreadRecords(100, 101);
    const files = {
      '100.1.ring': ringImage([main.switched(START_NS, false), main.fork(START_NS + 5n, 100, 101)], START),
      '101.2.ring': ringImage([worker.switched(START_NS + 6n, false)], { ...START, tid: 101, comm: 'worker' }),
    };
    write(snapshotsOfRings(foundIn(files), MOMENT).inputs[0]!);
    const records = new PerfDataImage(output).records();
    expect(records.filter(({ name }) => name === 'FORK')).toHaveLength(1);
    const order = records.map(({ name, id }) => `${name} ${id.tid}`);
    expect(order.indexOf('COMM 101')).toBeGreaterThan(order.indexOf('FORK 100'));
  });

  it('is read by perf without a warning', (context) => {
    if (!hasPerf) context.skip('perf is not installed');
    write(snapshotsOfRings(foundIn({ ...RECORDER_FILES, [JOURNAL_NAME]: sideBandImage([]) }), MOMENT).inputs[0]!);
    const { status, stderr, stdout } = perfScript();
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout.match(/cpu-clock:/g)!.length).toBeGreaterThan(60);
  });
});
