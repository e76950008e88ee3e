import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../base/testing/runs.ts';
import { MAIN, NO_SWITCHES, SchedCapture, WORKER } from '../export/testing/fixtures.ts';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { readSchedule } from './schedule.ts';

/** `@time tid state cpu`, a line a change. */
function changesOf(builder: CaptureBuilder): string[] {
  const capture = openCapture(builder.build());
  const { changes, unlistedTids } = readSchedule(capture);
  const { threads } = capture.tasks;
  return Array.from({ length: changes.count }, (_, row) => {
    const { thread, record, state, cpu } = changes.at(row);
    const tid = threads[thread]?.tid ?? unlistedTids[thread - threads.length];
    return `@${capture.timeAt(record)} ${tid} ${state} ${cpu}`;
  });
}

describe('SWITCH records', () => {
  it('distinguish running, runnable and sleeping', () => {
    const builder = new CaptureBuilder()
      .switchIn(MAIN, 10n)
      .switchOut(MAIN, 20n, true)
      .switchIn(MAIN, 30n)
      .switchOut(MAIN, 40n);
    expect(changesOf(builder)).toEqual([
      '@10 100 running 0',
      '@20 100 runnable 0',
      '@30 100 running 0',
      '@40 100 sleeping 0',
    ]);
  });

  it('begin in the middle: a thread is in no state before its first switch, whatever it was sampled in', () => {
    const builder = new CaptureBuilder().sample(MAIN, 10n).switchOut(WORKER, 15n).switchOut(MAIN, 20n);
    expect(changesOf(builder)).toEqual(['@15 101 sleeping 1', '@20 100 sleeping 0']);
  });

  it('in a ring of the thread begin with its first record: the ring has all since', () => {
    const ring = { comm: '', records: 1, lost: 0, overwritten: 3, lastNs: '20', alive: true, leftOutBytes: 0 };
    const builder = new CaptureBuilder()
      .sample(MAIN, 10n)
      .switchOut(MAIN, 20n)
      .section({ cutNs: '30', rings: [{ ...ring, ...MAIN, firstNs: '10' }] });
    expect(changesOf(builder)).toEqual(['@10 100 running 0', '@20 100 sleeping 0']);
  });

  it('begin with an exec, which only a running task makes', () => {
    const builder = new CaptureBuilder().comm(MAIN, 5n, 'sh').comm(MAIN, 10n, 'main', true).switchOut(MAIN, 20n);
    expect(changesOf(builder)).toEqual(['@10 100 running 0', '@20 100 sleeping 0']);
  });

  it('begin with what is kept of a ring: a name or a fork older than its first record gives no state', () => {
    const older = () =>
      new CaptureBuilder().comm(MAIN, 1n, 'main').fork(MAIN, WORKER, 2n).switchOut(MAIN, 500n).switchIn(WORKER, 600n);
    const ring = { comm: '', records: 1, lost: 0, lastNs: '600', alive: true, leftOutBytes: 0 };
    const rings = [
      { ...ring, ...MAIN, overwritten: 3, firstNs: '500' },
      { ...ring, ...WORKER, overwritten: 3, firstNs: '600' },
    ];
    const whole = ['@2 101 runnable null', '@500 100 sleeping 0', '@600 101 running 1'];
    expect(changesOf(older())).toEqual(whole);
    expect(changesOf(older().section({ cutNs: '700', rings }))).toEqual(whole.slice(1));
    expect(changesOf(older().section({ cutNs: '700', fromNs: '400' }))).toEqual(whole.slice(1));
  });

  it('that were lost: a thread in whose place another comes in is unknown since its last record', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).switchIn({ ...WORKER, cpu: 0 }, 20n);
    expect(changesOf(builder)).toEqual(['@10 100 running 0', '@10 100 unknown 0', '@20 101 running 0']);
  });

  it('that were lost: a thread that comes in elsewhere was unknown until then', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).switchIn({ ...MAIN, cpu: 1 }, 20n);
    expect(changesOf(builder)).toEqual(['@10 100 running 0', '@10 100 unknown 0', '@20 100 running 1']);
  });

  it('that were lost: where another thread goes out, the one that had come in there is unknown since its last record', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).switchOut({ ...WORKER, cpu: 0 }, 20n);
    expect(changesOf(builder)).toEqual(['@10 100 running 0', '@10 100 unknown 0', '@20 101 sleeping 0']);
  });

  it('that were lost: between two switches in, a thread is known to run up to the last record that shows it', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).sample(MAIN, 15n).switchIn(MAIN, 20n);
    expect(changesOf(builder)).toEqual(['@10 100 running 0', '@15 100 unknown 0', '@20 100 running 0']);
  });

  it('end with the last record of a thread that has exited, not with its EXIT', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).exit(MAIN, 20n).sample(MAIN, 25n);
    expect(changesOf(builder)).toEqual(['@10 100 running 0', '@25 100 exited 0']);
  });
});

it('a thread that is forked is runnable until it runs', () => {
  const builder = new CaptureBuilder().switchIn(MAIN, 10n).fork(MAIN, WORKER, 20n).switchIn(WORKER, 30n);
  expect(changesOf(builder)).toEqual(['@10 100 running 0', '@20 101 runnable null', '@30 101 running 1']);
});

describe('samples of sched_switch', () => {
  it('have both sides, uninterruptible sleep and the waking', () => {
    const builder = new SchedCapture()
      .switched(10n, 0, 0, 0, 100)
      .switched(20n, 0, 100, 2, 101)
      .waking(25n, 101, 100)
      .switched(30n, 0, 101, 0x100, 100)
      .switched(40n, 0, 100, 1, 0);
    expect(changesOf(builder)).toEqual([
      '@10 100 running 0',
      '@20 100 blocked 0',
      '@20 101 running 0',
      '@25 100 runnable 0',
      '@30 101 runnable 0',
      '@30 100 running 0',
      '@40 100 sleeping 0',
    ]);
  });
});

it('a task that is reaped runs on until sched_switch has it go off, though the sample has no id of it', () => {
  const reaped = 0xffff_ffff;
  const builder = new SchedCapture()
    .switched(10n, 0, 0, 0, 100)
    .exit(MAIN, 20n)
    .switched(30n, 0, 100, 0x100, 101, {}, reaped)
    .switched(40n, 0, 101, 1, 100)
    .switched(50n, 0, 100, 0x10, 0, {}, reaped);
  const own = changesOf(builder).filter((line) => / 100 /.test(line));
  expect(own).toEqual(['@10 100 running 0', '@30 100 runnable 0', '@40 100 running 0', '@50 100 exited 0']);
});

it('a zombie that goes off a CPU and comes back has not ended: it exits with its last switch', () => {
  const builder = new SchedCapture()
    .switched(10n, 0, 0, 0, 100)
    .exit(MAIN, 20n)
    .switched(30n, 0, 100, 0x20, 0)
    .switched(40n, 0, 0, 0, 100)
    .switched(50n, 0, 100, 0x10, 0);
  expect(changesOf(builder)).toEqual([
    '@10 100 running 0',
    '@30 100 sleeping 0',
    '@40 100 running 0',
    '@50 100 exited 0',
  ]);
});

describe('in a pid namespace, raw pids of sched_switch', () => {
  const captured = (rawOffset: number) =>
    new SchedCapture([], rawOffset)
      .switched(10n, 0, 0, 0, 100)
      .switched(20n, 0, 100, 2, 101)
      .waking(25n, 101, 100)
      .switched(30n, 0, 101, 1, 100);

  it('are those of the threads whose samples show both numbers, also before such a sample', () => {
    expect(changesOf(captured(2_000))).toEqual(changesOf(captured(0)));
  });

  it('that are the number of another thread in the namespace are not taken for it', () => {
    // The raw pid of thread 100 is 101, that of thread 101 is 102.
    const builder = captured(1).switched(40n, 1, 0, 0, 100);
    expect(changesOf(builder).slice(0, 2)).toEqual(['@10 100 running 0', '@20 100 blocked 0']);
    expect(changesOf(builder).at(-1)).toBe('@40 100 running 1');
  });
});

it('a capture without switches has no state', () => {
  const builder = new CaptureBuilder([NO_SWITCHES]).sample(MAIN, 10n).fork(MAIN, WORKER, 20n).sample(WORKER, 30n);
  expect(changesOf(builder)).toEqual([]);
});

it('a thread that is never switched is in no state', () => {
  expect(changesOf(new CaptureBuilder().comm(MAIN, 10n, 'main').sample(MAIN, 20n))).toEqual([]);
});

it('whatever is recorded, a CPU runs one thread at a time, and changes are in the order of the records', () => {
  const step = fc.record({
    kind: fc.constantFrom('in', 'out', 'preempt', 'sample', 'exec', 'fork', 'exit', 'lost', 'switch', 'waking'),
    tid: fc.integer({ min: 100, max: 103 }),
    next: fc.constantFrom(0, 100, 101, 102, 104),
    cpu: fc.nat(1),
    gapNs: fc.nat(90_000),
  });
  const others = fc.constantFrom([CPU_CLOCK], [NO_SWITCHES]);
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), others, (steps, events) => {
      const builder = new SchedCapture(events);
      let time = 1n;
      for (const { kind, tid, next, cpu, gapNs } of steps) {
        time += BigInt(gapNs);
        const task = { pid: 100, tid, cpu };
        if (kind === 'in') builder.switchIn(task, time);
        else if (kind === 'out' || kind === 'preempt') builder.switchOut(task, time, kind === 'preempt');
        else if (kind === 'sample') builder.sample(task, time);
        else if (kind === 'exec') builder.comm(task, time, 'name', true);
        else if (kind === 'fork') builder.fork(task, { pid: 100, tid: next }, time);
        else if (kind === 'exit') builder.exit(task, time);
        else if (kind === 'lost') builder.record('LOST', { lost: 1n }, { ...task, time });
        else if (kind === 'switch') builder.switched(time, cpu, tid, gapNs % 4, next);
        else builder.waking(time, tid, next);
      }
      const { changes } = readSchedule(openCapture(builder.build()));
      const runsOn = new Map<number, number>();
      const cpuOf = new Map<number, number>();
      let last = 0;
      for (let row = 0; row < changes.count; row++) {
        const { thread, record, state, cpu } = changes.at(row);
        expect(record).toBeGreaterThanOrEqual(last);
        last = record;
        const left = cpuOf.get(thread);
        if (left !== undefined) runsOn.delete(left);
        cpuOf.delete(thread);
        if (state !== 'running' || cpu === null) continue;
        expect(runsOn.get(cpu)).toBeUndefined();
        runsOn.set(cpu, thread);
        cpuOf.set(thread, cpu);
      }
    }),
    runs(500, 5_000),
  );
});
