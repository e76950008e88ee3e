import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it, type TestContext } from 'vitest';
import { lowWord } from '../abi/layout.ts';
import type { PerfRecord } from '../abi/record.ts';
import { RecordType } from '../abi/record-table.ts';
import { RingkeepError } from '../base/error.ts';
import { Poller } from '../linux/poller.ts';
import { listIds, readCpus } from '../linux/proc.ts';
import { addressOf, mustSyscall } from '../linux/syscall.ts';
import { AttachedPerfSource } from './attached-perf.ts';
import { parseEventSpec } from './event-spec.ts';
import type { EventSet, TracepointWatch } from './source.ts';
import { collected } from './testing/collected.ts';
import { asUser, LiveProgram } from './testing/live-program.ts';

const OTHER_UID = 65534;
const THIRD_UID = 65533;
const RLIMIT_NOFILE = 7;
const CPU1 = '/sys/devices/system/cpu/cpu1/online';

const open: { close(): void }[] = [];
const programs: LiveProgram[] = [];
afterEach(async () => {
  for (const source of open.splice(0)) source.close();
  for (const program of programs.splice(0)) await program.end();
});

function perfSource(context: TestContext, ...events: string[]): AttachedPerfSource {
  try {
    const source = AttachedPerfSource.open({ freq: 999, events: events.map(parseEventSpec) });
    open.push(source);
    return source;
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'perf-refused')
      context.skip(`perf events are refused here: ${error.message}`);
    throw error;
  }
}

async function liveProgram(uid?: number): Promise<LiveProgram> {
  const program = await LiveProgram.start(uid);
  programs.push(program);
  return program;
}

/** Skips the test where system-wide events are refused. */
function attachAll(context: TestContext, source: AttachedPerfSource): EventSet {
  try {
    return source.attachAll();
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'perf-refused')
      context.skip(`system-wide events are refused here: ${error.message}`);
    throw error;
  }
}

function needsRoot(context: TestContext): void {
  context.skip(process.geteuid?.() !== 0, 'only root can be another user');
}

function eventSetOf(source: AttachedPerfSource, record: PerfRecord): EventSet | undefined {
  return source.eventSetOf(lowWord(record.id.id!));
}

/** Without those of the event on all tasks, any of which may die meanwhile. */
function ofEventSets({ events }: AttachedPerfSource, records: readonly PerfRecord[]): PerfRecord[] {
  const common = new Set(events.flatMap(({ ids }) => ids));
  return records.filter(({ id }) => !common.has(id.id!));
}

function tidsOf(records: readonly PerfRecord[], name: string): Set<number> {
  return new Set(records.filter((record) => record.name === name).map(({ id }) => id.tid!));
}

const openFds = () => listIds('/proc/self/fd').length;

describe('a perf source attached to live threads', () => {
  it('delivers the switches and samples of each, under the ids of its own event set', async (context) => {
    const source = perfSource(context);
    const program = await liveProgram();
    expect(source.events[0]!.ids).toEqual([]);
    const eventSets = new Map(program.tids.map((tid) => [tid, source.attachThread(program.pid, tid)]));
    expect([...eventSets].map(([tid, eventSet]) => [tid, eventSet.tid])).toEqual(program.tids.map((tid) => [tid, tid]));
    for (const eventSet of eventSets.values()) {
      expect(eventSet.events.map(({ name }) => name)).toEqual(source.events.map(({ name }) => name));
      expect(eventSet.events[0]!.ids.length).toBe(readCpus().online.length);
    }
    await program.worked();
    const records = collected(source);
    expect(tidsOf(records, 'SWITCH').size).toBeGreaterThanOrEqual(2);
    expect(tidsOf(records, 'SWITCH')).toContain(program.pid);
    expect(tidsOf(records, 'SAMPLE')).toContain(program.pid);
    for (const record of records) expect(eventSetOf(source, record)).toBe(eventSets.get(record.id.tid!));
    const switches = records.filter(({ name }) => name === 'SWITCH');
    expect(new Set(switches.map(({ type, size }) => `${type} ${size}`))).toEqual(new Set([`${RecordType.SWITCH} 40`]));
  });

  it('delivers records of threads and children started later, and of none started before', async (context) => {
    const source = perfSource(context);
    const program = await liveProgram();
    await program.command('lasting-child');
    const earlier = program.tids;
    const eventSets = earlier.map((tid) => source.attachThread(program.pid, tid));
    await program.command('thread');
    await program.command('child sleep 0.02');
    await program.worked();
    const records = collected(source);
    const forks = records.flatMap((record) => (record.name === 'FORK' ? [record.body] : []));
    const [later] = program.tids.filter((tid) => !earlier.includes(tid));
    expect(forks).toContainEqual(expect.objectContaining({ pid: program.pid, tid: later }));
    const child = forks.find(({ pid }) => pid !== program.pid)!;
    expect(child.ppid).toBe(program.pid);
    expect(tidsOf(records, 'SWITCH')).toContain(later);
    expect(tidsOf(records, 'SWITCH')).toContain(child.pid);
    expect(tidsOf(records, 'EXIT')).toContain(child.pid);
    const mine = new Set([...earlier, ...forks.map(({ tid }) => tid)]);
    for (const record of ofEventSets(source, records)) {
      expect(mine).toContain(record.id.tid);
      expect(eventSets).toContain(eventSetOf(source, record));
    }
  });

  it('delivers no more of a detached event set and of what its task started, and goes on with the others', async (context) => {
    const source = perfSource(context);
    const [first, second] = [await liveProgram(), await liveProgram()];
    const eventSets = first.tids.map((tid) => source.attachThread(first.pid, tid));
    for (const tid of second.tids) source.attachThread(second.pid, tid);
    await first.command('thread');
    for (const program of [first, second]) await program.worked();
    for (const eventSet of eventSets) source.detach(eventSet);
    const records = collected(source);
    expect(tidsOf(records, 'SWITCH').size).toBeGreaterThan(3);
    for (const record of ofEventSets(source, records)) {
      const eventSet = eventSetOf(source, record);
      if (first.tids.includes(record.id.tid!)) expect(eventSet).toBeUndefined();
      else expect(eventSet?.tid).toBe(record.id.tid);
    }
    await second.worked();
    const after = tidsOf(collected(source), 'SWITCH');
    expect(after).toContain(second.pid);
    expect(first.tids.filter((tid) => after.has(tid))).toEqual([]);
  });

  it('has the requested events, and reports those that are refused', async (context) => {
    const source = perfSource(context, 'context-switches:u', 'page-faults', 'cycles');
    const had = source.events.map(({ name }) => name.replace(/:u$/, ''));
    expect(had).toEqual(expect.arrayContaining(['cpu-clock', 'context-switches', 'page-faults']));
    const isCyclesSaid = source.degraded.some((sentence) => sentence.includes('cycles'));
    expect(isCyclesSaid).toBe(!had.includes('cycles'));
    const program = await liveProgram();
    const { events } = source.attachThread(program.pid, program.pid);
    const own = events.filter(({ name }) => name !== 'signal:signal_deliver');
    const cpus = readCpus().online.length;
    expect(own.map(({ ids }) => ids.length)).toEqual(own.map(() => cpus));
    expect(new Set(own.flatMap(({ ids }) => ids)).size).toBe(own.length * cpus);
    expect(events.map(({ name }) => name)).toEqual(source.events.map(({ name }) => name));
    expect(source.descriptorsPerThread).toBe(own.length * cpus);
  });

  it('delivers fatal signals by one event for all tasks, of which a thread has no copy', async (context) => {
    const source = perfSource(context);
    const death = source.events.find(({ name }) => name === 'signal:signal_deliver');
    context.skip(!death, 'tracepoints are not permitted here');
    const program = await liveProgram();
    const own = source.attachThread(program.pid, program.pid).events.find(({ name }) => name === death!.name)!;
    expect(own.ids).toEqual([]);
    expect(death!.ids.length).toBe(readCpus().online.length);
    await program.command('child timeout -s SEGV 0.05 sleep 5');
    const deliveries = collected(source).filter(({ name, id }) => name === 'SAMPLE' && death!.ids.includes(id.id!));
    expect(deliveries.length).toBeGreaterThan(0);
  });

  it('wakes its reader when a ring is half full, and counts the records that were dropped', async (context) => {
    const source = perfSource(context);
    const program = await liveProgram();
    const eventSets = program.tids.map((tid) => source.attachThread(program.pid, tid));
    const poller = new Poller();
    open.push(poller);
    for (const fd of source.wakeFds) poller.add(fd);
    expect(poller.wait(0)).toEqual([]);
    const lostBefore = source.lostRecords();
    for (let rounds = 0; rounds < 10 && (source.lostRecords() ?? 1) === 0; rounds++)
      await program.command('ping-pong 30000');
    expect(source.wakeFds).toEqual(expect.arrayContaining(poller.wait(0)));
    const lost = source.lostRecords() ?? -1;
    context.skip(lost < 0, 'this kernel does not count what an event lost (it came with Linux 6.0)');
    expect(lostBefore).toBe(0);
    expect(lost).toBeGreaterThan(0);
    for (const eventSet of eventSets) source.detach(eventSet);
    expect(source.lostRecords()).toBeGreaterThanOrEqual(lost);
  });
});

describe('a thread that cannot be attached to', () => {
  it('because it is gone has an error of its own, and nothing stays open', (context) => {
    const source = perfSource(context);
    const before = openFds();
    expect(() => source.attachThread(2 ** 22 - 1, 2 ** 22 - 1)).toThrow(
      expect.objectContaining({ code: 'no-such-thread', details: { pid: 2 ** 22 - 1, tid: 2 ** 22 - 1 } }),
    );
    expect(openFds()).toBe(before);
  });

  it('because it is another user’s is refused', async (context) => {
    needsRoot(context);
    const program = await liveProgram(OTHER_UID);
    const source = asUser(THIRD_UID, () => perfSource(context));
    const before = openFds();
    expect(() => asUser(THIRD_UID, () => source.attachThread(program.pid, program.pid))).toThrow(
      expect.objectContaining({
        code: 'perf-refused',
        details: expect.objectContaining({ errno: expect.stringMatching(/^(EACCES|EPERM)$/), tid: program.pid }),
      }),
    );
    expect(openFds()).toBe(before);
  });

  it('because descriptors have run out is refused as a whole, and the others are still recorded', async (context) => {
    const source = perfSource(context);
    const program = await liveProgram();
    source.attachThread(program.pid, program.pid);
    const other = program.tids.find((tid) => tid !== program.pid)!;
    context.skip(source.descriptorsPerThread === 1, 'with one CPU and one event a thread takes one descriptor');
    const before = openFds();
    // No number is free below the last of these, and one above it will be.
    const highest = Math.max(...listIds('/proc/self/fd'));
    const fillers = [openSync('/dev/null', 'r')];
    while (fillers.at(-1)! < highest) fillers.push(openSync('/dev/null', 'r'));
    const limits = BigUint64Array.of(0n, 0n);
    const address = addressOf(new Uint8Array(limits.buffer));
    mustSyscall('prlimit64', 0, RLIMIT_NOFILE, 0, address);
    const soft = limits[0]!;
    try {
      limits[0] = BigInt(fillers.at(-1)! + 2);
      mustSyscall('prlimit64', 0, RLIMIT_NOFILE, address, 0);
      expect(() => source.attachThread(program.pid, other)).toThrow(
        expect.objectContaining({ code: 'perf-refused', details: expect.objectContaining({ errno: 'EMFILE' }) }),
      );
    } finally {
      limits[0] = soft;
      mustSyscall('prlimit64', 0, RLIMIT_NOFILE, address, 0);
      for (const fd of fillers) closeSync(fd);
    }
    expect(openFds()).toBe(before);
    await program.worked();
    const tids = tidsOf(collected(source), 'SWITCH');
    expect(tids).toContain(program.pid);
    expect(tids).not.toContain(other);
  });
});

describe('a perf source attached to everything', () => {
  it('delivers records of a process that was not named, until it is detached', async (context) => {
    const source = perfSource(context);
    const all = attachAll(context, source);
    const program = await liveProgram();
    await program.worked();
    const records = collected(source);
    expect(tidsOf(records, 'SWITCH_CPU_WIDE')).toContain(program.pid);
    expect(tidsOf(records, 'SAMPLE')).toContain(program.pid);
    expect(tidsOf(records, 'COMM')).toContain(program.pid);
    const switches = records.filter(({ name }) => name === 'SWITCH_CPU_WIDE');
    expect(new Set(switches.map(({ size }) => size))).toEqual(new Set([48]));
    expect(tidsOf(records, 'SWITCH').size).toBe(0);
    for (const record of ofEventSets(source, records)) expect(eventSetOf(source, record)).toBe(all);
    expect(all.tid).toBe(0);
    source.detach(all);
    collected(source);
    await program.worked();
    expect(ofEventSets(source, collected(source))).toEqual([]);
  });
});

describe('a CPU', () => {
  it('that goes offline and comes back is recorded again', async (context) => {
    context.skip(!isWritable(CPU1) || readFileSync(CPU1, 'latin1').trim() !== '1', 'no CPU can be taken offline here');
    context.skip(spawnSync('taskset', ['-V']).status !== 0, 'there is no taskset to choose a CPU with');
    const source = perfSource(context);
    const program = await liveProgram();
    const all = attachAll(context, source);
    const eventSets = program.tids.map((tid) => source.attachThread(program.pid, tid));
    let late: AttachedPerfSource;
    let watch: TracepointWatch | undefined;
    try {
      writeFileSync(CPU1, '0');
      source.updateCpus(readCpus().online, []);
      watch = watched(source);
      late = perfSource(context);
      expect(late.wakeFds.length).toBe(readCpus().online.length);
      for (const tid of program.tids) late.attachThread(program.pid, tid);
      await program.command('child true');
      expect(collected(source).some(({ id }) => id.tid === program.pid)).toBe(true);
    } finally {
      writeFileSync(CPU1, '1');
    }
    const { online } = readCpus();
    source.updateCpus(online, []);
    late.updateCpus(online, []);
    for (const ids of watch ? [watch.ids, source.events.at(-1)!.ids] : []) expect(ids.length).toBe(online.length);
    expect(late.wakeFds.length).toBe(online.length);
    await program.command('child taskset -c 1 sh -c true');
    const records = collected(source);
    const child = records.flatMap((record) =>
      record.name === 'FORK' && record.body.ppid === program.pid ? record.body.pid : [],
    );
    const onCpu1 = (name: string, eventSet: (record: PerfRecord) => boolean) =>
      records.some(
        (record) => record.name === name && record.id.cpu === 1 && child.includes(record.id.tid!) && eventSet(record),
      );
    expect(onCpu1('SWITCH_CPU_WIDE', (record) => eventSetOf(source, record) === all)).toBe(true);
    expect(onCpu1('SWITCH', (record) => eventSets.includes(eventSetOf(source, record)!))).toBe(true);
    expect(collected(late).some(({ name, id }) => name === 'SWITCH' && id.cpu === 1 && child.includes(id.tid!))).toBe(
      true,
    );
    if (watch) {
      const hits = records.filter(({ name, id }) => name === 'SAMPLE' && watch.ids.includes(id.id!));
      expect(hits.some(({ id }) => id.cpu === 1)).toBe(true);
    }
    expect([...source.degraded, ...late.degraded].filter((sentence) => sentence.includes('CPU 1'))).toEqual([]);
    expect(late.lostRecords()).toBe(0);
  });
});

/** Ends of tasks, watched on every CPU; undefined where there are no tracepoints. */
function watched(source: AttachedPerfSource): TracepointWatch | undefined {
  try {
    return source.watchTracepoint('sched', 'sched_process_exit', null);
  } catch (error) {
    if (error instanceof RingkeepError && (error.code === 'unknown-event' || error.code === 'perf-refused')) return;
    throw error;
  }
}

function isWritable(path: string): boolean {
  try {
    writeFileSync(path, readFileSync(path));
    return true;
  } catch {
    return false; // Not root, or a machine whose CPUs stay.
  }
}

describe('a perf source that is closed', () => {
  it('leaves no descriptor', async (context) => {
    const program = await liveProgram();
    const before = openFds();
    const source = perfSource(context, 'page-faults');
    for (const tid of program.tids) source.attachThread(program.pid, tid);
    expect(openFds()).toBeGreaterThanOrEqual(before + program.tids.length);
    open.splice(0);
    source.close();
    expect(openFds()).toBe(before);
  });
});
