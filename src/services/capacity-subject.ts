/** A schedule to compare policies on, with its size and source: that of a capture, or a generated one. */
import { streamSwitches } from '../schedule/switch-stream.ts';
import {
  batched,
  generateWorkload,
  SAMPLE_RECORD_BYTES,
  ScheduleBuilder,
  type SwitchSchedule,
  type WorkloadOptions,
} from '../sim/capacity/index.ts';
import { withCapture } from './capture-file.ts';

/** The size and the source of a schedule. The keys are stable: scripts read them. */
export interface Workload {
  readonly origin: 'generated' | 'capture';
  readonly file: string | null;
  /** Where a capture's switches were read. */
  readonly switchesFrom: 'sched_switch' | 'SWITCH' | null;
  readonly seed: number | null;
  readonly cpus: number;
  readonly tasks: number;
  /** Switches to a task other than the idle one. */
  readonly switches: number;
  readonly lengthNs: number;
  /** Of a capture: the time left out, because some rings had overwritten it; records that its recorder lost. */
  readonly leftOutNs: number;
  readonly lostRecords: number;
  /** Switches that a capture does not have and others in it imply. */
  readonly mendedSwitches: number;
  /** When rings are pinned: at each switch, as a kernel does, or once a batch, as the recorder does. */
  readonly turns: 'switch' | 'batch';
}

/** A schedule to compare policies on. */
export interface Subject {
  readonly workload: Workload;
  readonly schedule: SwitchSchedule;
}

/** The schedule of the capture at `path`. Throws `no-switches` and what opening a capture throws. */
export function readSubject(path: string, sampleHz: number, turns: Workload['turns']): Subject {
  return withCapture(path, (capture) => {
    let builder: ScheduleBuilder | undefined;
    const trace = streamSwitches(capture, ({ origin, cpus }) => {
      // A ring would hold SWITCH records: where the capture has samples of a tracepoint, their number and size are
      // computed.
      const model = { sampleHz, sampleBytes: SAMPLE_RECORD_BYTES };
      builder = new ScheduleBuilder(cpus, origin === 'sched_switch' ? model : undefined);
      return builder;
    });
    const schedule = builder!.build(trace.lengthNs);
    const workload: Workload = {
      origin: 'capture',
      file: path,
      switchesFrom: trace.origin,
      seed: null,
      cpus: trace.cpus,
      tasks: schedule.tasks,
      switches: schedule.switchIns,
      lengthNs: schedule.endNs,
      leftOutNs: trace.leftOutNs,
      lostRecords: trace.lostRecords,
      mendedSwitches: trace.mendedSwitches,
      turns,
    };
    return { workload, schedule: turns === 'batch' ? batched(schedule) : schedule };
  });
}

export interface GeneratorOptions extends Omit<WorkloadOptions, 'recording'> {
  /** Samples a second of running time. */
  readonly sampleHz: number;
}

/** A generated schedule. */
export function generateSubject({ sampleHz, ...options }: GeneratorOptions, turns: Workload['turns']): Subject {
  const schedule = generateWorkload({ ...options, recording: { sampleHz, sampleBytes: SAMPLE_RECORD_BYTES } });
  const workload: Workload = {
    origin: 'generated',
    file: null,
    switchesFrom: null,
    seed: options.seed,
    cpus: options.cpus,
    tasks: schedule.tasks,
    switches: schedule.switchIns,
    lengthNs: schedule.endNs,
    leftOutNs: 0,
    lostRecords: 0,
    mendedSwitches: 0,
    turns,
  };
  return { workload, schedule: turns === 'batch' ? batched(schedule) : schedule };
}
