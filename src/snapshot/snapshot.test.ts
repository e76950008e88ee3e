import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventAttr } from '../abi/event-attr.ts';
import { Misc, USER_TYPE_START } from '../abi/record-table.ts';
import { decodeRingkeepSection, RINGKEEP_FEATURE } from '../abi/ringkeep-section.ts';
import { Context, encodeSample } from '../abi/sample.ts';
import { runs } from '../base/testing/runs.ts';
import { readKernelText } from './kernel-maps.ts';
import { type SnapshotInput, writeSnapshot } from './snapshot.ts';
import { isInstalled, PerfDataImage, run } from './testing/perf-tool.ts';
import {
  CPU_CLOCK,
  CPU_CLOCK_ID,
  concat,
  input,
  newestFirst,
  ownCode,
  START_NS,
  ThreadRecords,
  task,
} from './testing/synthetic.ts';

const hasPerf = isInstalled('perf');
const hasReadelf = isInstalled('readelf');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringkeep-snapshot-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (ns: number) => START_NS + BigInt(ns);

/** What PerfDataImage says of a snapshot of `fields`: `NAME tid@ns` for each record, in file order. */
function linesOf(fields: Partial<SnapshotInput>) {
  const path = join(folder, 'lines.data');
  const report = writeSnapshot(path, input(fields));
  const image = new PerfDataImage(path);
  const lines = image
    .records()
    .map(({ name, id: { tid, time = 0n } }) => `${name} ${tid}@${time === 0n ? 'start' : Number(time - START_NS)}`);
  return { report, image, lines };
}

describe('a snapshot', () => {
  const a = new ThreadRecords(7, 7);
  const b = new ThreadRecords(7, 8);

  it('has the records of all rings in time order, the side-band log first where times are equal', () => {
    const { lines } = linesOf({
      sideBandLog: [concat([a.comm(0n, 'server'), a.fork(at(5), 7, 8), b.comm(at(5), 'worker')])],
      tasks: [
        task(7, 7, 'server', [newestFirst([a.switched(at(1), false), a.sample(at(5), 1n), a.switched(at(9), true)])]),
        task(7, 8, 'worker', [newestFirst([b.sample(at(6), 1n), b.sample(at(8), 2n)])]),
      ],
    });
    expect(lines).toEqual([
      'COMM 7@start',
      'SWITCH 7@1',
      'FORK 7@5',
      'COMM 8@5',
      'SAMPLE 7@5',
      'SAMPLE 8@6',
      'SAMPLE 8@8',
      'SWITCH 7@9',
    ]);
  });

  it('writes a record that a ring and the side-band log both hold once, and keeps one that only the ring holds', () => {
    const { lines, report } = linesOf({
      sideBandLog: [concat([a.comm(at(1), 'one')])],
      tasks: [task(7, 7, 'one', [newestFirst([a.comm(at(1), 'one'), a.comm(at(1), 'two'), a.comm(at(2), 'one')])])],
    });
    expect(lines).toEqual(['COMM 7@1', 'COMM 7@1', 'COMM 7@2']);
    expect(report.duplicates).toBe(1);
  });

  it('does not take equal samples for duplicates', () => {
    const twice = [a.sample(at(3), 1n), a.sample(at(3), 1n)];
    expect(linesOf({ tasks: [task(7, 7, 'a', twice)] }).lines).toEqual(['COMM 7@start', 'SAMPLE 7@3', 'SAMPLE 7@3']);
  });

  it('leaves out records after the cut, of rings and side-band log, and keeps those at the cut', () => {
    const { lines, report } = linesOf({
      cutNs: at(4),
      sideBandLog: [concat([a.comm(at(4), 'a'), a.comm(at(5), 'b')])],
      tasks: [task(7, 7, 'a', [newestFirst([a.sample(at(3), 1n), a.sample(at(4), 1n), a.sample(at(5), 1n)])])],
    });
    expect(lines).toEqual(['SAMPLE 7@3', 'COMM 7@4', 'SAMPLE 7@4']);
    expect(report.rings[0]).toMatchObject({ records: 2, firstNs: String(at(3)), lastNs: String(at(4)) });
  });

  it('reports pending losses by a LOST record at the cut, with the ids of the thread', () => {
    const ring = { ...task(7, 8, 'b', [b.sample(at(1), 1n)]), lost: 12, pendingLost: 5 };
    const { image, report } = linesOf({ cutNs: at(100), tasks: [ring] });
    expect(image.records().at(-1)).toMatchObject({
      name: 'LOST',
      body: { lost: 5n, id: CPU_CLOCK_ID },
      id: { pid: 7, tid: 8, time: at(100), id: CPU_CLOCK_ID },
    });
    expect(report.lost).toBe(12);
  });

  it('counts the bytes of a cut record and keeps the rest', () => {
    const whole = a.sample(at(2), 1n, 2n);
    const cut = a.sample(at(1), 1n, 2n).subarray(0, 40);
    const ring = { ...task(7, 7, 'a', [concat([whole, cut])]), leftOutBytes: 8 };
    const { lines, report } = linesOf({ tasks: [ring], sideBandLog: [a.comm(0n, 'a'), Uint8Array.of(1, 2, 3)] });
    expect(lines).toEqual(['COMM 7@start', 'SAMPLE 7@2']);
    expect(report.rings[0]?.leftOutBytes).toBe(48);
    expect(report.leftOutBytes).toBe(51);
  });

  it('has a summary of every ring in its own section', () => {
    const death = { pid: 7, tid: 7, comm: 'a', signal: 'SIGSEGV', timeNs: 5, evidence: 'first-exit' } as const;
    const { image, report } = linesOf({
      cutNs: at(50),
      tasks: [task(7, 7, 'a', [a.sample(at(1), 1n)]), { ...task(7, 8, 'b', []), alive: false, overwritten: 3 }],
      section: { source: 'perf', reason: 'death', death, degraded: ['no kernel samples'], kernelLost: 2 },
    });
    const section = decodeRingkeepSection(image.feature(RINGKEEP_FEATURE)!);
    expect(section).toMatchObject({ version: 1, cutNs: String(at(50)), death, kernelLost: 2, reason: 'death' });
    expect(section?.rings).toEqual(report.rings);
    expect(report.rings[1]).toEqual({
      pid: 7,
      tid: 8,
      comm: 'b',
      records: 0,
      lost: 0,
      overwritten: 3,
      firstNs: null,
      lastNs: null,
      alive: false,
      leftOutBytes: 0,
    });
  });

  it('marks rounds, so that a reader need not hold the whole file', () => {
    const switches = Array.from({ length: 70_000 }, (_, index) => a.switched(at(index + 1), index % 2 === 0));
    const { image, report } = linesOf({ tasks: [task(7, 7, 'a', [newestFirst(switches)])] });
    const names = image.records().map(({ name }) => name);
    expect(report.records).toBe(70_001);
    expect(names.filter((name) => name === 'FINISHED_ROUND').length).toBe(1);
    expect(names.length).toBe(70_002);
  });

  it('is the stable merge of any rings, however they are cut into chunks', () => {
    const ring = fc.array(fc.nat(20), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(ring, { maxLength: 5 }), fc.nat(4), (rings, chunkRecords) => {
        const sorted = rings.map((times) => [...times].sort((x, y) => x - y));
        const tasks = sorted.map((times, index) => {
          const thread = new ThreadRecords(7, 10 + index);
          // The instruction pointer numbers the records of a thread.
          const records = times.map((time, place) => thread.sample(at(time), BigInt(place + 1))).reverse();
          const chunks: Uint8Array[] = [];
          for (let i = 0; i < records.length; i += chunkRecords + 1)
            chunks.push(concat(records.slice(i, i + chunkRecords + 1)));
          return task(7, 10 + index, 'a', chunks);
        });
        const samples = linesOf({ tasks })
          .image.records()
          .flatMap((record) => (record.name === 'SAMPLE' ? [record] : []));
        expect(samples.length).toBe(rings.flat().length);
        for (const [index, times] of sorted.entries()) {
          const own = samples.filter(({ id }) => id.tid === 10 + index);
          expect(own.map(({ id }) => Number(id.time! - START_NS))).toEqual(times);
          // A ring of one single time does not say which way round it is.
          if (new Set(times).size > 1)
            expect(own.map(({ body }) => Number(body.ip))).toEqual(times.map((_, i) => i + 1));
        }
        for (let i = 1; i < samples.length; i++) expect(samples[i]!.id.time! >= samples[i - 1]!.id.time!).toBe(true);
      }),
      runs(25, 400),
    );
  });
});

describe.skipIf(!hasPerf)('perf reads a snapshot (skipped where perf is absent)', () => {
  const code = ownCode();
  const server = new ThreadRecords(70_000, 70_000);
  const worker = new ThreadRecords(70_000, 70_001);
  const child = new ThreadRecords(70_100, 70_100);
  const [text] = code;
  const ip = (offset: number) => text!.addr + BigInt(offset);

  const sideBandLog = [
    server.comm(0n, 'server'),
    ...code.map((mapping) => server.mmap(0n, mapping)),
    server.fork(at(1_000), 70_000, 70_001),
    worker.comm(at(2_000), 'worker'),
    server.fork(at(3_000), 70_100, 70_100),
    child.comm(at(4_000), 'child', Misc.commExec),
    ...code.map((mapping) => child.mmap(at(5_000), mapping)),
    child.exit(at(90_000)),
  ];
  /** Samples by thread, oldest first; the one at 10 µs + index is asked for below. */
  const serverRing = [
    server.switched(at(500), false),
    server.fork(at(1_000), 70_000, 70_001),
    server.sample(at(10_000), ip(64), ip(128)),
    server.sample(at(20_000), ip(65), ip(129)),
    server.switched(at(30_000), true),
  ];
  const workerRing = [worker.comm(at(2_000), 'worker'), worker.sample(at(15_000), ip(32))];
  const childRing = [child.sample(at(12_000), ip(48), ip(96)), child.exit(at(90_000))];
  const whole: Partial<SnapshotInput> = {
    sideBandLog: [concat(sideBandLog.slice(0, 5)), concat(sideBandLog.slice(5))],
    tasks: [
      task(70_000, 70_000, 'server', [newestFirst(serverRing)]),
      task(70_000, 70_001, 'worker', [newestFirst(workerRing)]),
      task(70_100, 70_100, 'child', [newestFirst(childRing)]),
      task(70_200, 70_201, 'stranger', [new ThreadRecords(70_200, 70_201).sample(at(16_000), ip(1))]),
    ],
    cutNs: at(100_000),
  };
  let path: string;
  beforeAll(() => {
    path = join(folder, 'whole.data');
    expect(writeSnapshot(path, input(whole)).duplicates).toBe(3);
  });

  /** The output of a perf command, which must have succeeded and warned of nothing. */
  const perf = (...args: string[]) => {
    const { status, stdout, stderr } = run('perf', ...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout;
  };

  it('with every sample at its time, in its thread, under its name', () => {
    const samples = perf('script', '-i', path, '--ns', '-F', 'comm,pid,tid,time,ip').trim().split(/\n\n/);
    const heads = samples.map((sample) => sample.split('\n')[0]!.trim().replaceAll(/\s+/g, ' '));
    expect(heads).toEqual([
      'server 70000/70000 1430.000010000:',
      'child 70100/70100 1430.000012000:',
      'worker 70000/70001 1430.000015000:',
      'stranger 70200/70201 1430.000016000:',
      'server 70000/70000 1430.000020000:',
    ]);
    expect(samples[0]!.split('\n').length).toBe(3);
  });

  it('with its addresses resolved to files and symbols', () => {
    const resolved = perf('script', '-i', path, '-F', 'tid,ip,dso');
    expect(resolved).toContain(text!.filename);
    expect(perf('report', '-i', path, '--stdio')).toMatch(/Samples: 5 {2}of event 'cpu-clock'/);
  });

  it('with every side-band record once', () => {
    const events = perf(
      'script',
      '-i',
      path,
      '--ns',
      '--show-switch-events',
      '--show-task-events',
      '--show-mmap-events',
      '--show-lost-events',
    );
    const count = (pattern: RegExp) => [...events.matchAll(pattern)].length;
    expect(count(/PERF_RECORD_SWITCH IN/g)).toBe(1);
    expect(count(/PERF_RECORD_SWITCH OUT/g)).toBe(1);
    expect(count(/PERF_RECORD_FORK\(70000:70001\):\(70000:70000\)/g)).toBe(1);
    expect(count(/PERF_RECORD_FORK\(70100:70100\):\(70000:70000\)/g)).toBe(1);
    expect(count(/PERF_RECORD_FORK\(70200:70201\):\(70200:70200\)/g)).toBe(1);
    expect(count(/PERF_RECORD_COMM: worker:70000\/70001/g)).toBe(1);
    expect(count(/PERF_RECORD_COMM exec: child:70100\/70100/g)).toBe(1);
    expect(count(/PERF_RECORD_COMM: stranger:70200\/70201/g)).toBe(1);
    expect(count(/PERF_RECORD_EXIT\(70100:70100\)/g)).toBe(1);
    expect(count(/PERF_RECORD_MMAP2 70000\/70000/g)).toBe(code.length);
    expect(count(/PERF_RECORD_MMAP2 70100\/70100/g)).toBe(code.length);
    expect(count(/PERF_RECORD_LOST/g)).toBe(0);
    expect(events).toContain('1430.000090000: PERF_RECORD_EXIT');
  });

  it('with the header features', () => {
    const header = perf('script', '-i', path, '--header-only');
    for (const line of [
      '# hostname : ',
      '# os release : ',
      '# perf version : ringkeep 0.1.0',
      '# arch : ',
      '# nrcpus online : ',
      '# total memory : ',
      '# cmdline : ringkeep record -- true',
      '# event : name = cpu-clock, , id = { 23, 24 }, type = 1, size = 128',
      '# time of first sample : 1430.000010',
      '# time of last sample : 1430.000020',
      '# clockid: monotonic (1)',
      '# reference time: 2026-09-21 14:13:20.000000 = 1790000000.000000 (TOD) = 1430.000000000 (monotonic)',
    ])
      expect(header).toContain(line);
  });

  it.skipIf(!hasReadelf)('with the build ids that readelf prints (skipped where readelf is absent)', () => {
    const ids = new Map(
      perf('buildid-list', '-i', path)
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [string, string])
        .map(([id, file]) => [file, id]),
    );
    const files = new Set(code.map(({ filename }) => filename));
    const expected = [...files]
      .filter((file) => file.startsWith('/'))
      .map((file) => [file, /Build ID: ([0-9a-f]+)/.exec(run('readelf', '-n', file).stdout)?.[1]])
      .filter(([, id]) => id !== undefined);
    expect(expected.length).toBeGreaterThan(0);
    for (const [file, id] of expected) expect(ids.get(file!)).toBe(id);
    if (files.has('[vdso]')) expect(ids.get('[vdso]')).toMatch(/^[0-9a-f]{40}$/);
  });

  it('with its losses, and warns of them', () => {
    const lossy = join(folder, 'lossy.data');
    const ring = [worker.sample(at(1), ip(1)), worker.lost(at(2), 3n), worker.sample(at(3), ip(1))];
    const tasks = [{ ...task(70_000, 70_001, 'worker', [newestFirst(ring)]), lost: 10, pendingLost: 7 }];
    writeSnapshot(lossy, input({ tasks, cutNs: at(9) }));
    const { status, stdout, stderr } = run('perf', 'script', '-i', lossy, '--ns', '--show-lost-events');
    expect(status).toBe(0);
    expect(stdout).toMatch(/70001 .* 1430\.000000002: PERF_RECORD_LOST lost 3/);
    expect(stdout).toMatch(/70001 .* 1430\.000000009: PERF_RECORD_LOST lost 7/);
    expect(stderr).toBe('');
    expect(run('perf', 'report', '-i', lossy, '--stdio').stderr).toContain('lost 2 chunks');
  });

  it('just as it reads the capture whose records were put into rings', (context) => {
    const capture = join(folder, 'capture.data');
    const work = 'for i in 1 2 3 4 5 6 7 8; do ls -R /usr/lib >/dev/null; done';
    const recorded = run(
      'perf',
      'record',
      '-q',
      '-e',
      'cpu-clock:u',
      '-F',
      '999',
      '-g',
      '-o',
      capture,
      'sh',
      '-c',
      work,
    );
    if (recorded.status !== 0) context.skip(`perf record refused: ${recorded.stderr.trim().split('\n')[0]}`);
    const image = new PerfDataImage(capture);
    const rings = new Map<number, { pid: number; records: Uint8Array[] }>();
    const sideBandLog: Uint8Array[] = [];
    const bytes = image.recordBytes();
    for (const [index, { name, type, id, misc }] of image.records().entries()) {
      if (type >= USER_TYPE_START || (name === 'MMAP' && misc & Misc.kernel)) continue;
      if (name !== 'SAMPLE') {
        sideBandLog.push(bytes[index]!);
        continue;
      }
      const ring = rings.get(id.tid!) ?? { pid: id.pid!, records: [] };
      rings.set(id.tid!, ring);
      ring.records.push(bytes[index]!);
    }
    expect(rings.size).toBeGreaterThan(1);
    const copy = join(folder, 'copy.data');
    writeSnapshot(
      copy,
      input({
        events: [{ name: 'cpu-clock:u', attr: image.attr, ids: [] }],
        // A wrong name would show: the side-band log knows them all.
        tasks: [...rings].map(([tid, { pid, records }]) => task(pid, tid, 'wrong', [newestFirst(records)])),
        sideBandLog: [concat(sideBandLog)],
        cutNs: 1n << 62n,
      }),
    );
    const fields = ['--ns', '-F', 'comm,pid,tid,time,event,ip,sym,dso'];
    const samplesOf = (file: string) =>
      perf('script', '-i', file, ...fields)
        .split(/\n\n/)
        .sort();
    expect(samplesOf(copy)).toEqual(samplesOf(capture));
  });

  it('with kernel addresses resolved, where an event sees the kernel', (context) => {
    const kernel = readKernelText();
    if (!kernel) context.skip('the kernel hides its addresses (kptr_restrict)');
    const attr = eventAttr({ ...CPU_CLOCK.attr, flags: CPU_CLOCK.attr.flags & ~(1n << 5n) });
    const callchain = BigUint64Array.from([Context.kernel, kernel!.start + 0x1000n, Context.user, ip(64)]);
    const id = { pid: 70_000, tid: 70_000, time: at(7_000), id: CPU_CLOCK_ID };
    const sample = encodeSample(id, { ip: kernel!.start + 0x1000n, callchain }, attr, Misc.kernel);
    const kernelPath = join(folder, 'kernel.data');
    const events = [{ ...CPU_CLOCK, attr }];
    const tasks = [task(70_000, 70_000, 'server', [sample])];
    writeSnapshot(kernelPath, input({ ...whole, events, tasks }));
    expect(perf('script', '-i', kernelPath, '-F', 'ip,sym,dso')).toMatch(/\(\[kernel\.kallsyms\]\)/);
    perf('report', '-i', kernelPath, '--stdio');
    expect(perf('script', '-i', kernelPath, '--show-mmap-events')).toContain('[kernel.kallsyms]_');
    expect(perf('buildid-list', '-i', kernelPath)).toMatch(/^[0-9a-f]{40} \[kernel\.kallsyms\]$/m);
  });
});
