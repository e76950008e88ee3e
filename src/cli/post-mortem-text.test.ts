import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../base/testing/runs.ts';
import type { StackFrame } from '../perf-data/stack.ts';
import type { PostMortem, ThreadReport } from '../post-mortem/report.ts';
import { formatPostMortem } from './post-mortem-text.ts';

const NAMELESS = { name: null, nameOffset: null, symbol: null, source: null };

function thread(fields: Partial<ThreadReport>): ThreadReport {
  return {
    pid: 100,
    tid: 100,
    comm: 'node',
    tookSignal: false,
    state: 'sleeping',
    signal: null,
    activity: 'sleeping',
    activityNs: 2_300_000_000,
    cpu: 0,
    lastActiveBeforeNs: 2_300_000_000,
    firstNs: '1',
    lastNs: '2',
    spanNs: 5_000_000_000,
    timesFrom: 'switches',
    onCpuNs: 1_200_000,
    offCpuNs: 4_998_800_000,
    preemptedNs: 800_000,
    sleepingNs: 4_998_000_000,
    unknownNs: 0,
    records: 10,
    samples: 4,
    switchesIn: 3,
    switchesOut: 3,
    wakeups: 2,
    lost: 0,
    overwritten: 0,
    procfs: null,
    waits: [],
    stacks: [],
    ...fields,
  };
}

const NOTHING_MISSING = { throttles: 0, evictedRings: 0, unrecordedTasks: 0, unseenTasks: 0, unreadableRings: 0 };

function report(fields: Partial<PostMortem> = {}): PostMortem {
  return {
    death: { pid: 100, tid: 101, comm: 'worker', signal: 'SIGSEGV', timeNs: 5, evidence: 'signal-deliver' },
    source: 'perf',
    reason: 'death',
    why: null,
    host: {
      hostname: 'web-1',
      osrelease: '6.18.0',
      arch: 'x86_64',
      cpusOnline: 8,
      cmdline: null,
      recorderVersion: null,
    },
    firstNs: '1',
    lastNs: '5000000001',
    endNs: '5000000001',
    momentNs: '5000000001',
    spanNs: 5_000_000_000,
    windowNs: null,
    totals: { processes: 1, threads: 2, namedOnly: 0, records: 12_345, samples: 17, switchesIn: 5, switchesOut: 5 },
    losses: { lostRecords: 0, lostSamples: 0, kernelLost: 0, ringLost: 0, ...NOTHING_MISSING },
    degraded: [],
    unused: [],
    damage: [],
    unnamed: [],
    threads: [
      thread({
        tid: 101,
        comm: 'worker',
        tookSignal: true,
        state: 'killed',
        signal: 'SIGSEGV',
        activity: 'running',
        activityNs: 12_000_000,
        cpu: 1,
        stacks: [
          {
            timeNs: '4',
            beforeNs: 1_200_000,
            event: 'cpu-clock',
            samples: 3,
            frames: [
              { address: '0xffffffff81000000', file: null, fileOffset: null, isKernel: true, ...NAMELESS },
              { address: '0x400010', file: '/opt/app/server', fileOffset: '0x1010', isKernel: false, ...NAMELESS },
            ],
          },
        ],
      }),
      thread({}),
    ],
    ...fields,
  };
}

const plain = { width: 120, hasColour: false, showAll: false };

describe('the text of a post-mortem', () => {
  test('has what happened first, then one line a thread, then the stacks of the first threads', () => {
    expect(formatPostMortem(report(), plain)).toMatchInlineSnapshot(`
      "pid 100 (node) died of SIGSEGV in thread 101 (worker)
        5s kept · 2 threads in 1 process · 12,345 records · 17 samples
        ringkeep snapshot (death), source perf · web-1 · Linux 6.18.0 · x86_64 · 8 CPUs
        nothing lost

         TID  COMM    STATE                          ON-CPU  SLEPT  WAITED  SWITCHES  SAMPLES  LAST SEEN IN
      >  101  worker  killed, running 12ms on cpu 1   1.2ms     5s   800us         3        4  [kernel] < server+0x1010
         100  node    sleeping 2.3s                   1.2ms     5s   800us         3        4

      thread 101 (worker) of pid 100: killed by SIGSEGV, running 12ms on cpu 1
        on-CPU 1.2ms · slept 5s · waited for a CPU 800us · in 5s · 4 samples · 2 wakeups
        1.2ms before the death, cpu-clock, 3 samples:
            [kernel]+0xffffffff81000000
            server+0x1010
      "
    `);
  });

  test('has the names of frames, and the source line of JavaScript', () => {
    const [worker] = report().threads;
    const [kernel, server] = worker!.stacks[0]!.frames as [StackFrame, StackFrame];
    const frames = [
      { ...kernel, name: 'futex_wait', nameOffset: 0x20, symbol: 'futex_wait' },
      { ...kernel, name: 'do_syscall_64', nameOffset: 0x5b, symbol: 'do_syscall_64' },
      { ...server, name: 'net::read', nameOffset: 0x10, symbol: '_ZN3net4readEi' },
      { ...server, name: 'poll', symbol: 'JS:*poll /srv/a.js:1:2', source: { file: '/srv/a.ts', line: 7 } },
      server,
    ];
    const text = (shown: StackFrame[]) => {
      const stacks = [{ ...worker!.stacks[0]!, frames: shown }];
      return formatPostMortem(report({ threads: [{ ...worker!, stacks }] }), { ...plain, width: 160 });
    };
    expect(text(frames)).toContain('futex_wait < net::read < poll a.ts:7 < server+0x1010');
    expect(text(frames)).toContain('\n      futex_wait+0x20 ([kernel])\n');
    expect(text(frames)).toContain('\n      net::read+0x10 (server)\n      poll a.ts:7\n      server+0x1010\n');
    expect(text(frames.slice(0, 2))).toContain('futex_wait < do_syscall_64');
  });

  test('has the longest waits from 1 ms on, and their places where those are known', () => {
    const [worker] = report().threads;
    const frames = worker!.stacks[0]!.frames;
    const waits = [
      { kind: 'slept' as const, durationNs: 2_300_000_000, endedBeforeNs: 10_000_000, frames, lastSeen: null },
      { kind: 'waited' as const, durationNs: 30_000_000, endedBeforeNs: 0, frames: null, lastSeen: null },
      { kind: 'slept' as const, durationNs: 999, endedBeforeNs: 0, frames: null, lastSeen: null },
    ];
    const text = formatPostMortem(report({ threads: [{ ...worker!, waits }] }), plain);
    expect(text).toContain('\n  slept 2.3s until 10ms before the death in [kernel] < server+0x1010\n');
    expect(text).toContain('\n  waited for a CPU 30ms up to the death\n');
    expect(text).not.toContain('999ns');
  });

  test('says where a thread was last seen before a wait whose place is not known', () => {
    const [worker] = report().threads;
    const seen = { earlierNs: 3_000_000, frames: worker!.stacks[0]!.frames };
    const wait = { kind: 'slept' as const, durationNs: 2e9, endedBeforeNs: 0, frames: null, lastSeen: seen };
    const text = formatPostMortem(report({ threads: [{ ...worker!, waits: [wait] }] }), plain);
    expect(text).toContain('\n  slept 2s up to the death, last seen 3ms earlier in [kernel] < server+0x1010\n');
  });

  test('has the longest waits of all threads, those of one name in one place in one line', () => {
    const wait = { kind: 'slept' as const, durationNs: 2e9, endedBeforeNs: 0, frames: null, lastSeen: null };
    const threads = [
      thread({ tid: 1, waits: [wait] }),
      thread({ tid: 2, waits: [{ ...wait, durationNs: 3e9 }, wait] }),
      thread({ tid: 3, comm: 'timer', waits: [{ ...wait, kind: 'waited', durationNs: 5e6, endedBeforeNs: 1e9 }] }),
    ];
    const text = formatPostMortem(report({ threads }), plain);
    expect(text).toContain(
      'the longest times off the CPUs:\n' +
        '  node 2 and 1 more: slept 3s up to the death\n' +
        '  timer 3: waited for a CPU 5ms until 1s before the death\n',
    );
  });

  test('says how many threads are shown, and of how many nothing is kept', () => {
    const totals = { ...report().totals, threads: 7, namedOnly: 3 };
    expect(formatPostMortem(report({ totals }), plain)).toContain(
      '7 threads in 1 process · 2 of them shown · nothing kept of 3 more · 12,345 records',
    );
  });

  test('says why frames have no names, three reasons unless all are asked for', () => {
    const unnamed = ['a', 'b', 'c', 'd', 'e'].map((name) => `no names from /opt/${name}: it has no symbols`);
    const text = formatPostMortem(report({ unnamed }), plain);
    expect(text).toContain(
      'no names from /opt/c: it has no symbols\n  … and 2 more reasons for frames without names (--all)',
    );
    expect(formatPostMortem(report({ unnamed }), { ...plain, showAll: true })).toContain('/opt/e');
  });

  test('says how the thread was found where no signal record named it', () => {
    const death = { ...report().death!, evidence: 'first-exit' as const };
    expect(formatPostMortem(report({ death }), plain)).toContain('in thread 101 (worker), the first to exit');
    const unknown = { ...death, evidence: 'main-thread' as const };
    expect(formatPostMortem(report({ death: unknown }), plain)).toContain('which thread took the signal is not known');
  });

  test('says that no death is known', () => {
    expect(formatPostMortem(report({ death: null }), plain)).toMatch(/^2 threads of 1 process; no death by a signal/);
  });

  test('says that nothing was lost only where nothing was', () => {
    const losses = { lostRecords: 0, lostSamples: 0, kernelLost: 0, ringLost: 0, ...NOTHING_MISSING };
    expect(formatPostMortem(report({ losses }), plain)).toContain('nothing lost');
    expect(formatPostMortem(report({ losses, reason: 'recover' }), plain)).not.toContain('nothing lost');
    for (const part of Object.keys(NOTHING_MISSING)) {
      const text = formatPostMortem(report({ losses: { ...losses, [part]: 17 } }), plain);
      expect(text).not.toContain('nothing lost');
      expect(text).toMatch(/^ {2}lost: .*17/m);
    }
  });

  test('names losses, blind spots, what is not used, and damage', () => {
    const text = formatPostMortem(
      report({
        losses: { lostRecords: 9, lostSamples: 2, kernelLost: 1_000, ringLost: 7, ...NOTHING_MISSING },
        degraded: ['kernel stacks'],
        unused: ['branch stacks of 3 samples'],
        damage: [
          { offset: 4096, bytes: 8, reason: 'bytes that are no records' },
          { offset: 8192, bytes: 8, reason: 'x' },
        ],
      }),
      plain,
    );
    expect(text).toContain('lost: 7 before they reached a ring, 1,000 in the kernel, 2 samples');
    expect(text).toContain('not seen: kernel stacks');
    expect(text).toContain('not used: branch stacks of 3 samples');
    expect(text).toContain('damaged at byte 4096: bytes that are no records (and 1 more)');
  });

  test('shows ? for what is not known, never 0', () => {
    const unknown = { onCpuNs: null, offCpuNs: null, sleepingNs: null, preemptedNs: null, switchesOut: null };
    const text = formatPostMortem(report({ threads: [thread({ tid: 7 }), thread({ tid: 8, ...unknown })] }), plain);
    expect(text.split('\n').find((line) => /^\s+8 /.test(line))).toMatch(/\?\s+\?\s+\?\s+\?/);
  });

  test('lists 20 threads and the number of the others, unless all are asked for', () => {
    const threads = Array.from({ length: 200 }, (_, index) => thread({ tid: 1000 + index }));
    const text = formatPostMortem(report({ threads }), plain);
    expect(text).toContain('… and 180 more threads (--all)');
    expect(text).not.toContain('1020');
    const all = formatPostMortem(report({ threads }), { ...plain, showAll: true });
    expect(all).toContain('1199');
    expect(all).not.toContain('more threads');
  });

  test('paints only when asked to', () => {
    const control = '\x1b[';
    expect(formatPostMortem(report(), plain)).not.toContain(control);
    expect(formatPostMortem(report(), { ...plain, hasColour: true })).toContain(`${control}31m`);
  });

  test('is never wider than the terminal, and shows no control character of a name', () => {
    const name = fc.string({ unit: 'binary', maxLength: 60 });
    fc.assert(
      fc.property(name, name, fc.integer({ min: 40, max: 200 }), (comm, file, width) => {
        const [first, second] = report().threads;
        const frame = { address: '0x1', file, fileOffset: '0x1', isKernel: false, ...NAMELESS };
        const stacks = [{ ...first!.stacks[0]!, event: comm, frames: [frame] }];
        const threads = [{ ...first!, comm, stacks }, second!];
        const text = formatPostMortem(
          report({ threads, degraded: [comm], totals: { ...report().totals, processes: 2 } }),
          {
            ...plain,
            width,
          },
        );
        for (const line of text.split('\n')) expect(Array.from(line).length).toBeLessThanOrEqual(width);
        expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
      }),
      runs(100, 2000),
    );
  });
});
