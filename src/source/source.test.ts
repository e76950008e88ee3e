import { describe, expect, it } from 'vitest';
import { EventType, hasFlag, SampleType } from '../abi/event-attr.ts';
import { decodeProcfsSample } from '../abi/procfs-sample.ts';
import type { PerfRecord } from '../abi/record.ts';
import { until } from '../base/testing/waiting.ts';
import { spawnGated } from '../linux/gated-command.ts';
import { type ProcStat, readProcStat } from '../linux/proc.ts';
import { CommandPerfSource } from './command-perf.ts';
import { commandEventAttr, parseEventSpec } from './event-spec.ts';
import { ProcfsSource } from './procfs.ts';
import { parseSyscall } from './procfs-scan.ts';
import { collected } from './testing/collected.ts';

const clock = parseEventSpec('cpu-clock');

describe('an event name', () => {
  it('has perf’s meaning', () => {
    expect(parseEventSpec('page-faults')).toMatchObject({
      type: EventType.software,
      config: 2n,
      everyOccurrence: false,
    });
    expect(parseEventSpec('cycles:u')).toMatchObject({
      type: EventType.hardware,
      config: 0n,
      excludeKernel: true,
      excludeUser: false,
    });
    expect(parseEventSpec('context-switches:k')).toMatchObject({
      excludeKernel: false,
      excludeUser: true,
      everyOccurrence: true,
    });
  });

  it('that does not exist is refused', () => {
    for (const name of ['', 'cycle', 'no-such:tracepoint', 'a:b:c:d', 'cpu-clock:x']) {
      expect(() => parseEventSpec(name), name).toThrow(expect.objectContaining({ code: 'unknown-event' }));
    }
  });
});

describe('the attr for a command', () => {
  const options = { freq: 99, excludeKernel: true, countsLost: true, watermarkBytes: 1024, sideBand: true };

  it('is inherited, enabled at exec, and has all side-band records', () => {
    const attr = commandEventAttr(clock, options);
    for (const flag of [
      'inherit',
      'enableOnExec',
      'disabled',
      'sampleIdAll',
      'contextSwitch',
      'task',
      'comm',
      'commExec',
      'mmap2',
      'excludeKernel',
      'freq',
      'useClockid',
    ] as const) {
      expect(hasFlag(attr, flag), flag).toBe(true);
    }
    expect(attr.clockid).toBe(1);
    // It would change the records of other tools' events.
    expect(hasFlag(attr, 'buildId')).toBe(false);
    expect(attr.samplePeriodOrFreq).toBe(99n);
  });

  it('samples nothing at frequency 0, and still has switches', () => {
    const attr = commandEventAttr(clock, { ...options, freq: 0 });
    expect(attr).toMatchObject({ type: EventType.software, config: 9n, samplePeriodOrFreq: 0n });
    expect(hasFlag(attr, 'contextSwitch')).toBe(true);
    expect(hasFlag(attr, 'freq')).toBe(false);
  });

  it('of an extra event has the same trailer and no side band', () => {
    const attr = commandEventAttr(parseEventSpec('major-faults'), { ...options, sideBand: false });
    expect(attr.sampleType & ~SampleType.raw).toBe(commandEventAttr(clock, options).sampleType);
    expect(attr.samplePeriodOrFreq).toBe(1n);
    expect(hasFlag(attr, 'contextSwitch')).toBe(false);
  });
});

describe('the perf source', () => {
  it('delivers the records of a command from its exec to its exit', async (context) => {
    const command = await spawnGated(['/bin/sh', '-c', 'sleep 0.05; exit 0']);
    let source: CommandPerfSource;
    try {
      source = CommandPerfSource.open({ pid: command.pid, freq: 99, events: [] });
    } catch (error) {
      command.open();
      context.skip(`perf events are refused here: ${error}`);
      return;
    }
    command.open();
    await command.ended;
    const records = collected(source);
    expect(collected(source)).toEqual([]);
    source.close();
    const names = records.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['COMM', 'MMAP2', 'FORK', 'SWITCH', 'EXIT']));
    const exits = records.filter((record) => record.name === 'EXIT').map(({ body }) => ('tid' in body ? body.tid : 0));
    expect(exits).toContain(command.pid);
  });

  it('reports a refusal by code and errno, and leaves nothing open', () => {
    expect(() => CommandPerfSource.open({ pid: 2 ** 22, freq: 99, events: [] })).toThrow(
      expect.objectContaining({ code: 'perf-refused' }),
    );
  });
});

describe('the procfs source', () => {
  it('delivers the same records of a command, with a payload read from /proc', async () => {
    const command = await spawnGated([
      '/bin/sh',
      '-c',
      'sleep 0.4 & wait; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done',
    ]);
    const source = ProcfsSource.open({ pid: command.pid, freq: 200 });
    command.open();
    let ended = false;
    command.ended.then(() => {
      ended = true;
    });
    const records: PerfRecord[] = [];
    const scan = () => {
      records.push(...collected(source));
      return ended;
    };
    await until('the command to end', scan, { everyMs: Math.max(source.latencyMs, 1) });
    source.expedite();
    records.push(...collected(source));
    const names = new Set(records.map(({ name }) => name));
    expect(names).toEqual(new Set(['COMM', 'MMAP2', 'FORK', 'SAMPLE', 'EXIT']));
    const forked = records.find((record) => record.name === 'FORK');
    expect(forked?.body).toMatchObject({ ppid: command.pid, ptid: command.pid });
    const payloads = records.flatMap((record) =>
      record.name === 'SAMPLE' ? [decodeProcfsSample(record.body.raw!)] : [],
    );
    expect(payloads.every((payload) => payload !== undefined)).toBe(true);
    expect(new Set(payloads.map((payload) => String.fromCharCode(payload!.state)))).toContain('R');
    const exited = records.flatMap((record) => (record.name === 'EXIT' ? [record.body.tid] : []));
    expect(exited).toContain(command.pid);
    expect(source.degraded.join(' ')).toMatch(/no call stacks/);
    expect(collected(source)).toEqual([]);
    source.close();
  });

  it('writes nothing for an idle thread', async () => {
    const command = await spawnGated(['sleep', '1000']);
    command.open();
    const source = ProcfsSource.open({ pid: command.pid, freq: 1000 });
    const isAsleep = ({ comm, state }: ProcStat) => comm === 'sleep' && state === 'S';
    await until('sleep(1) to be asleep', () => isAsleep(readProcStat(`/proc/${command.pid}/stat`)!));
    source.expedite();
    collected(source);
    for (let scan = 0; scan < 5; scan++) {
      source.expedite();
      expect(collected(source)).toEqual([]);
    }
    command.kill('SIGKILL');
    await command.ended;
    source.close();
  });

  it('reads /proc/TID/syscall in each of its forms', () => {
    expect(parseSyscall('running\n')).toEqual({ syscall: -1n, ip: 0n });
    expect(parseSyscall('-1 0x7ffd 0x401000\n')).toEqual({ syscall: -1n, ip: 0x401000n });
    expect(parseSyscall('202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd 0x7f00\n')).toEqual({ syscall: 202n, ip: 0x7f00n });
    expect(parseSyscall(undefined)).toEqual({ syscall: -1n, ip: 0n });
  });
});
