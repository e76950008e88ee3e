/** Captures of the real perf record are read as perf script prints them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, type TestContext, test } from 'vitest';
import { Misc, RecordType } from '../abi/record-table.ts';
import { RUN_PATIENCE_MS } from '../base/testing/waiting.ts';
import { type Capture, openCapture } from '../perf-data/capture.ts';
import { postMortem } from './post-mortem.ts';

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-capture-'));
afterAll(() => rmSync(directory, { recursive: true }));

const BUSY = ['sh', '-c', 'sleep 0.05; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; sleep 0.05 & wait'];
const CLOCK = ['-e', 'cpu-clock:u', '-F', '997'];

function perf(args: readonly string[]): { status: number | null; stderr: string } {
  const { status, stderr, error } = spawnSync('perf', args, { encoding: 'utf8', timeout: 30_000 });
  return { status, stderr: error ? String(error) : stderr };
}

const probe = perf(['record', '-o', join(directory, 'probe'), '-e', 'cpu-clock:u', '--', 'true']);
const whyNot = probe.status === 0 ? '' : `perf record does not work here: ${probe.stderr.trim().split('\n').at(-1)}`;

const files = new Map<string, string>();

/** What perf records of the command; once for each of the options. */
function record(args: readonly string[], command: readonly string[] = BUSY): string {
  const key = [...args, '--', ...command].join(' ');
  const known = files.get(key);
  if (known !== undefined) return known;
  const file = join(directory, `${Math.random().toString(36).slice(2)}.data`);
  // Its own status is the command's, which may die by design.
  perf(['record', '-q', '-o', file, ...args, '--', ...command]);
  files.set(key, file);
  return file;
}

/** What perf may record depends on the user: the rest is for root. */
function skipIfRefused(file: string, context: TestContext): void {
  if (!existsSync(file) || statSync(file).size === 0) context.skip('perf may not record this as this user');
}

function open(file: string): Capture {
  return openCapture(readFileSync(file));
}

function script(file: string, args: readonly string[]): string[] {
  const text = execFileSync('perf', ['script', '-i', file, '--ns', ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: RUN_PATIENCE_MS,
  });
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** Nanoseconds of perf script's `seconds.nanoseconds:`. */
function nanoseconds(text: string): bigint {
  const [seconds, fraction] = text.replace(':', '').split('.');
  return BigInt(seconds!) * 1_000_000_000n + BigInt(fraction!);
}

/** `tid time` of every sample, in the order printed. */
function samplesByPerf(file: string): string[] {
  return script(file, ['-F', 'tid,time']).map((line) => {
    const [tid, time] = line.split(/\s+/);
    return `${tid} ${nanoseconds(time!)}`;
  });
}

function samplesByUs(capture: Capture): string[] {
  return Array.from({ length: capture.recordCount }, (_, index) => index)
    .filter((index) => capture.typeAt(index) === RecordType.SAMPLE)
    .map((index) => `${capture.tidAt(index)} ${capture.timeAt(index)}`);
}

interface Switch {
  tid: number;
  timeNs: bigint;
  kind: string;
}

function switchesByPerf(file: string): Switch[] {
  const lines = script(file, ['--show-switch-events', '-F', 'tid,time']);
  return lines.flatMap((line) => {
    const match = /^(\d+)\s+([\d.]+):\s+PERF_RECORD_SWITCH(?:_CPU_WIDE)? (IN|OUT preempt|OUT)/.exec(line);
    return match ? [{ tid: Number(match[1]), timeNs: nanoseconds(match[2]!), kind: match[3]! }] : [];
  });
}

function switchesByUs(capture: Capture): Switch[] {
  const switches: Switch[] = [];
  for (let index = 0; index < capture.recordCount; index++) {
    const type = capture.typeAt(index);
    if (type !== RecordType.SWITCH && type !== RecordType.SWITCH_CPU_WIDE) continue;
    const misc = capture.miscAt(index);
    const kind = misc & Misc.switchOut ? (misc & Misc.switchOutPreempt ? 'OUT preempt' : 'OUT') : 'IN';
    switches.push({ tid: capture.tidAt(index), timeNs: capture.timeAt(index), kind });
  }
  return switches;
}

/** perf orders equal times of different CPUs by its queues: compare them as sets of lines. */
function sorted(lines: readonly string[]): string[] {
  return [...lines].sort();
}

describe.skipIf(whyNot !== '')(`perf record${whyNot && ` (skipped: ${whyNot})`}`, () => {
  test.for<[string, readonly string[]]>([
    ['of a command, one event', CLOCK],
    ['with call chains and switches', [...CLOCK, '-g', '--switch-events']],
    ['per thread', [...CLOCK, '--per-thread', '-T', '-g']],
    ['of all CPUs', [...CLOCK, '-a', '--switch-events']],
    ['of several events', [...CLOCK, '-e', 'page-faults', '-e', 'context-switches']],
    ['of a group', ['-e', '{cpu-clock,page-faults}', '-F', '997']],
    ['with a fixed period', ['-e', 'cpu-clock:u', '-c', '1000000']],
    ['with stacks for DWARF', [...CLOCK, '--call-graph', 'dwarf,4096']],
    ['with raw tracepoints', ['-e', 'sched:sched_switch', '-e', 'sched:sched_process_exit', '-R']],
    ['with data mappings, addresses and build ids in them', [...CLOCK, '-d', '--buildid-mmap']],
    ['with identifiers, CPUs and periods', [...CLOCK, '--sample-identifier', '--sample-cpu', '-T', '-P']],
  ])('%s: the same samples at the same times', ([, args], context) => {
    const file = record(args);
    skipIfRefused(file, context);
    const capture = open(file);
    expect(capture.damage).toEqual([]);
    const theirs = samplesByPerf(file);
    expect(theirs.length).toBeGreaterThan(0);
    expect(sorted(samplesByUs(capture))).toEqual(sorted(theirs));
    expect(postMortem(capture).totals.samples).toBe(theirs.length);
  });

  test('of a group read as one: a sample of ours is one line of each member’s', () => {
    const file = record(['-e', '{cpu-clock,page-faults}:S', '-F', '997']);
    expect(new Set(samplesByUs(open(file)))).toEqual(new Set(samplesByPerf(file)));
  });

  test('without times: the same samples in the order of the file', () => {
    const file = record([...CLOCK, '--per-thread']);
    const capture = open(file);
    expect(samplesByUs(capture)).toHaveLength(
      script(file, ['-F', 'tid,ip']).filter((line) => /^\d+/.test(line)).length,
    );
    expect(postMortem(capture).degraded).toEqual(['the records have no times: order and durations are unknown']);
  });

  test('piped: the same samples, events by name, the machine it was on', () => {
    const args = ['record', '-q', '-o', '-', ...CLOCK, '-e', 'page-faults:u', '-g', '--', ...BUSY];
    const bytes = spawnSync('perf', args, { maxBuffer: 1 << 28 }).stdout;
    const capture = openCapture(new Uint8Array(bytes));
    expect(capture.damage).toEqual([]);
    expect(capture.events.map(({ name }) => name)).toEqual(['cpu-clock:u', 'page-faults:u']);
    expect(capture.features.osrelease).toBe(execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim());
    const theirs = spawnSync('perf', ['script', '-i', '-', '--ns', '-F', 'tid,time'], {
      input: bytes,
      encoding: 'utf8',
    });
    // In a pipe perf script prints the stacks whatever the fields asked for.
    const lines = theirs.stdout.split('\n').filter((line) => /^\s*\d+\s+[\d.]+:/.test(line));
    expect(lines.length).toBeGreaterThan(0);
    expect(samplesByUs(capture)).toHaveLength(lines.length);
  });

  test('switches: the same ones in the same order, thread by thread, and the times that follow from them', () => {
    const file = record([...CLOCK, '-g', '--switch-events']);
    const capture = open(file);
    const theirs = switchesByPerf(file);
    expect(theirs.length).toBeGreaterThan(0);
    const report = postMortem(capture);
    for (const thread of report.threads) {
      const own = theirs.filter(({ tid }) => tid === thread.tid);
      expect(switchesByUs(capture).filter(({ tid }) => tid === thread.tid)).toEqual(own);
      const [ins, outs] = [own.filter(({ kind }) => kind === 'IN'), own.filter(({ kind }) => kind !== 'IN')];
      expect(thread).toMatchObject({ switchesIn: ins.length, switchesOut: outs.length });
      // Off-CPU: from every OUT to the IN that follows it.
      let offNs = 0n;
      own.forEach((each, index) => {
        const next = own[index + 1];
        if (each.kind !== 'IN' && next?.kind === 'IN') offNs += next.timeNs - each.timeNs;
      });
      expect(thread.state).toBe('exited');
      expect(thread.offCpuNs).toBeGreaterThanOrEqual(Number(offNs));
      // What a fork leaves to wait until the first time on a CPU is off-CPU as well.
      const forkNs = capture.tasks.threads.find(({ tid }) => tid === thread.tid)!.startNs;
      const firstNs = forkNs !== null && own[0]?.kind === 'IN' ? own[0].timeNs - forkNs : 0n;
      expect(thread.offCpuNs).toBe(Number(offNs + firstNs));
      expect(thread.onCpuNs! + thread.offCpuNs! + thread.unknownNs!).toBe(thread.spanNs);
    }
  });

  test('stacks: the addresses that perf script prints, in files that it names', () => {
    const file = record([...CLOCK, '-g', '--switch-events']);
    const last = execFileSync('perf', ['script', '-i', file, '--ns', '-F', 'tid,time,ip,dso'], { encoding: 'utf8' })
      .trim()
      .split('\n\n')
      .at(-1)!
      .split('\n');
    const tid = Number(last[0]!.trim().split(/\s+/)[0]);
    const [stack] = postMortem(open(file)).threads.find((thread) => thread.tid === tid)!.stacks;
    const theirs = last.slice(1).map((line) => /^\s*([0-9a-f]+) \((.*)\)$/.exec(line)!.slice(1, 3));
    // Asked for no symbols, it prints the offset in the file where it knows one.
    const ours = stack!.frames.map((frame) => [frame.fileOffset ?? frame.address, frame.file ?? '[unknown]']);
    expect(ours).toEqual(theirs.map(([address, name]) => [`0x${address}`, name]));
  });

  test('names, forks, exits: each thread is named and has exited, each child knows its parent', () => {
    const capture = open(record([...CLOCK, '-g', '--switch-events']));
    const sh = capture.tasks.processes.find(({ threads }) => threads[0]!.comms.at(-1)?.comm === 'sh')!;
    const sleeps = capture.tasks.processes.filter(({ threads }) => threads[0]!.comms.at(-1)?.comm === 'sleep');
    expect(sleeps).toHaveLength(2);
    for (const sleep of sleeps) {
      expect(sleep).toMatchObject({ parentPid: sh.pid, startNs: expect.any(BigInt), exitNs: expect.any(BigInt) });
      expect(sleep.threads[0]!.comms.map(({ comm, exec }) => `${comm} ${exec}`)).toEqual(['sh false', 'sleep true']);
    }
  });

  test('features: the machine, the command line and the clock', () => {
    const { features } = open(record([...CLOCK, '--clockid', 'monotonic']));
    expect(features.cmdline!.slice(1, 3)).toEqual(['record', '-q']);
    expect(features).toMatchObject({ arch: expect.any(String), clockData: { clockid: 1 } });
    expect(features.buildIds!.every(({ buildId }) => /^([0-9a-f]{32}|[0-9a-f]{40})$/.test(buildId))).toBe(true);
    expect(features.sampleTime!.lastNs).toBeGreaterThan(features.sampleTime!.firstNs);
  });

  test('a death by a signal: who, of what, doing what', (context) => {
    const file = record(
      ['-e', 'signal:signal_deliver', ...CLOCK, '--switch-events'],
      ['sh', '-c', 'sh -c "kill -SEGV \\$\\$"; sleep 0.01'],
    );
    skipIfRefused(file, context);
    const report = postMortem(open(file));
    expect(report.death).toMatchObject({ signal: 'SIGSEGV', comm: 'sh', evidence: 'signal-deliver' });
    expect(report.threads[0]).toMatchObject({
      tookSignal: true,
      state: 'killed',
      signal: 'SIGSEGV',
      activity: 'running',
    });
    expect(report.threads.slice(1).map(({ state }) => state)).not.toContain('killed');
  });

  test('compressed with zstd is read like any other', () => {
    const capture = open(record([...CLOCK, '-z']));
    expect(capture.features.isCompressed).toBe(true);
    expect(capture.damage).toEqual([]);
    expect([...capture.records()].filter(({ name }) => name === 'SAMPLE').length).toBeGreaterThan(0);
  });

  test.each(['file', 'pipe'])('counts of perf stat are refused as that: a %s', (kind) => {
    const file = join(directory, `stat-${kind}`);
    const output = kind === 'file' ? file : '-';
    const args = ['stat', 'record', '-o', output, '-e', 'task-clock', '--', 'true'];
    const { stdout } = spawnSync('perf', args, { timeout: 30_000 });
    const bytes = kind === 'file' ? readFileSync(file) : stdout;
    expect(() => openCapture(bytes)).toThrow(
      expect.objectContaining({ code: 'unsupported-capture', details: { feature: 'stat' } }),
    );
  });

  test('interrupted leaves a file that is read to its end', () => {
    const file = record([...CLOCK, '-g', '--switch-events']);
    const bytes = readFileSync(file);
    const whole = openCapture(bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const dataEnd = Number(view.getBigUint64(40, true) + view.getBigUint64(48, true));
    const interrupted = new Uint8Array(bytes.subarray(0, dataEnd));
    new DataView(interrupted.buffer).setBigUint64(48, 0n, true);
    const capture = openCapture(interrupted);
    expect(samplesByUs(capture)).toEqual(samplesByUs(whole));
    expect(capture.damage).toHaveLength(1);
  });
});
