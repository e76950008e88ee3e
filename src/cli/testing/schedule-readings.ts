/**
 * The times of each thread as every consumer of a capture's schedule reports them, read back from what it writes.
 * Invariant: a consumer that does not report a time has it undefined here, never 0.
 */
import { writeFileSync } from 'node:fs';
import { Profile } from 'pprof-format';
import { callTrees } from '../../export/call-tree.ts';
import { PLACES_AS_NAMES } from '../../export/frame-names.ts';
import { exported, exportedText } from '../../export/testing/exported.ts';
import { readPerfetto } from '../../export/testing/perfetto-reading.ts';
import { type Capture, openCapture } from '../../perf-data/capture.ts';
import { postMortem } from '../../post-mortem/post-mortem.ts';
import { readSubject } from '../../services/capacity-subject.ts';

/** Nanoseconds, by tid; null where the consumer says that it does not know. */
export interface Reading {
  readonly onCpu?: number | null;
  readonly offCpu?: number | null;
  readonly asleep?: number | null;
  readonly unknown?: number;
}

type Readings = Record<number, Reading>;

export const CONSUMERS: Readonly<Record<string, (file: string, bytes: Uint8Array) => Readings>> = {
  show: (_, bytes) => {
    const { threads } = postMortem(openCapture(bytes));
    return Object.fromEntries(
      threads.map(({ tid, onCpuNs, offCpuNs, sleepingNs, unknownNs }) => [
        tid,
        { onCpu: onCpuNs, offCpu: offCpuNs, asleep: sleepingNs, unknown: unknownNs ?? 0 },
      ]),
    );
  },
  'show --tree': (_, bytes) => {
    const trees = callTrees(openCapture(bytes), PLACES_AS_NAMES, {});
    const asleep = trees.find(({ unit }) => unit === 'nanoseconds')?.roots ?? [];
    return Object.fromEntries(asleep.map(({ name, total }) => [Number(name), { asleep: total }]));
  },
  perfetto: (_, bytes) => perfettoTimes(openCapture(bytes)),
  firefox: (_, bytes) => firefoxTimes(openCapture(bytes)),
  pprof: (_, bytes) => asleepInProfile(openCapture(bytes)),
  'plan, simulate --from': (file, bytes) => {
    writeFileSync(file, bytes);
    return scheduledTimes(file, openCapture(bytes));
  },
};

function perfettoTimes(capture: Capture): Readings {
  const { states } = readPerfetto(exported(capture, 'perfetto'));
  const endNs = capture.lastNs!;
  return Object.fromEntries(
    [...new Set(states.map(({ tid }) => tid))].map((tid) => {
      const own = states.filter((state) => state.tid === tid);
      const sum = (...names: string[]) =>
        own.reduce((total, { timeNs, state }, index) => {
          const lasted = Number((own[index + 1]?.timeNs ?? endNs) - timeNs);
          return names.some((name) => state === `TASK_STATE_${name}`) ? total + lasted : total;
        }, 0);
      const asleep = sum('INTERRUPTIBLE_SLEEP', 'UNINTERRUPTIBLE_SLEEP');
      return [tid, { onCpu: sum('RUNNING'), offCpu: asleep + sum('RUNNABLE'), asleep, unknown: sum('STOPPED') }];
    }),
  );
}

/** CPU time is that up to the last sample, between samples. */
function firefoxTimes(capture: Capture): Readings {
  const { threads, shared } = JSON.parse(exportedText(capture, 'firefox'));
  return Object.fromEntries(
    // biome-ignore lint/suspicious/noExplicitAny: JSON.
    threads.map(({ tid, samples, markers }: any) => {
      const sum = (...names: string[]) =>
        markers.name.reduce((total: number, name: number, index: number) => {
          const ms = markers.endTime[index] - markers.startTime[index];
          return names.includes(shared.stringArray[name]) ? total + Math.round(ms * 1e6) : total;
        }, 0);
      const deltas: (number | null)[] = samples.threadCPUDelta ?? [null];
      const onCpu = deltas.includes(null) ? null : deltas.reduce<number>((total, each) => total + each!, 0);
      const asleep = sum('sleeping', 'uninterruptible');
      return [tid, { onCpu, offCpu: asleep + sum('runnable'), asleep, unknown: sum('unknown') }];
    }),
  );
}

function asleepInProfile(capture: Capture): Readings {
  const profile = Profile.decode(exported(capture, 'pprof'));
  const text = (index: number | bigint) => profile.stringTable.strings[Number(index)]!;
  const column = profile.sampleType.findIndex(({ type }) => text(type) === 'asleep');
  const readings: Record<number, { asleep: number }> = {};
  for (const { value, label } of profile.sample) {
    const tid = Number(label.find(({ key }) => text(key) === 'tid')?.num);
    const reading = readings[tid] ?? { asleep: 0 };
    reading.asleep += column < 0 ? 0 : Number(value[column]);
    readings[tid] = reading;
  }
  return readings;
}

/** Tasks are numbered as the threads of the task table that are no idle tasks. */
function scheduledTimes(file: string, capture: Capture): Readings {
  const { schedule } = readSubject(file, 99, 'switch');
  const tids = [0, ...capture.tasks.threads.map(({ tid }) => tid).filter((tid) => tid !== 0)];
  const onCpu = new Map<number, number>();
  const current = [...schedule.initial];
  const sinceNs = current.map(() => 0);
  const leave = (cpu: number, timeNs: number) => {
    const tid = tids[current[cpu]!]!;
    if (tid !== 0) onCpu.set(tid, (onCpu.get(tid) ?? 0) + timeNs - sinceNs[cpu]!);
  };
  for (let row = 0; row < schedule.count; row++) {
    const cpu = schedule.cpu[row]!;
    leave(cpu, schedule.timeNs[row]!);
    current[cpu] = schedule.next[row]!;
    sinceNs[cpu] = schedule.timeNs[row]!;
  }
  current.forEach((_, cpu) => {
    leave(cpu, schedule.endNs);
  });
  return Object.fromEntries([...onCpu].map(([tid, ns]) => [tid, { onCpu: ns }]));
}
