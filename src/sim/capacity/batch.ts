/**
 * A schedule as the live recorder sees it. It does not pin at a switch: it drains the kernel's rings when one is half
 * full or a while has passed, and gives each thread that wrote something one turn a batch, on account of the CPU its
 * first record in the batch came from (src/recorder/recorder.ts, steps 2 and 3). A CPU's turns come in the order of
 * those first records, also those put off, so they are laid one behind the other: the slots see the same order.
 *
 * Not modelled: a batch takes no time, and what a task writes in the middle of a long run comes with its switch-out.
 *
 * Invariant: every record of the schedule is in exactly one turn, but for the switch-in of a residency that never ends.
 */
import { ScheduleBuilder, SWITCH_RECORD_BYTES, type SwitchSchedule } from './schedule.ts';

export interface BatchOptions {
  /** The longest a record waits. */
  readonly intervalNs: number;
  /** Bytes of a CPU that end a batch before its time. */
  readonly wakeBytes: number;
}

/** The recorder's own: PERF_RECORD wake-ups every 100 ms, or at half of a kernel ring of 128 pages. */
export const LIVE_BATCHES: BatchOptions = { intervalNs: 100e6, wakeBytes: 64 * 4096 };

interface Turn {
  readonly task: number;
  readonly cpu: number;
  records: number;
  bytes: number;
  exits: boolean;
}

/** The turns of the recorder's batches in place of residencies. */
export function batched(schedule: SwitchSchedule, options: BatchOptions = LIVE_BATCHES): SwitchSchedule {
  const { cpus, timeNs, cpu, prev, next, records, bytes, exits } = schedule;
  const builder = new ScheduleBuilder(cpus, undefined, true);
  schedule.bornNs.forEach((bornNs, task) => {
    if (task > 0) builder.born(task, bornNs);
  });
  const turns = new Map<number, Turn>();
  const waitingBytes = new Float64Array(cpus);
  /** By CPU: 1 where the current task's switch-in was counted already. */
  const counted = new Uint8Array(cpus);
  let endsNs = options.intervalNs;
  const add = (task: number, on: number, recordCount: number, byteCount: number, isLast: boolean) => {
    let turn = turns.get(task);
    if (!turn) {
      turn = { task, cpu: on, records: 0, bytes: 0, exits: false };
      turns.set(task, turn);
    }
    turn.records += recordCount;
    turn.bytes += byteCount;
    turn.exits ||= isLast;
    waitingBytes[on]! += byteCount;
  };
  for (let row = 0; row < schedule.count; row++) {
    const now = timeNs[row]!;
    const on = cpu[row]!;
    if (now >= endsNs) {
      drain(builder, turns, endsNs);
      waitingBytes.fill(0);
      // Batches without a record are skipped at once: a capture can claim centuries between two of its records.
      endsNs += options.intervalNs * (Math.floor((now - endsNs) / options.intervalNs) + 1);
    }
    if (prev[row] !== 0) {
      const earlier = Math.min(counted[on]!, records[row]!);
      const earlierBytes = Math.min(earlier * SWITCH_RECORD_BYTES, bytes[row]!);
      add(prev[row]!, on, records[row]! - earlier, bytes[row]! - earlierBytes, exits[row] === 1);
    }
    if (next[row] !== 0) add(next[row]!, on, 1, SWITCH_RECORD_BYTES, false);
    counted[on] = next[row] === 0 ? 0 : 1;
    if (waitingBytes[on]! < options.wakeBytes) continue;
    drain(builder, turns, now);
    waitingBytes.fill(0);
    endsNs = now + options.intervalNs;
  }
  drain(builder, turns, Math.max(schedule.endNs, timeNs[schedule.count - 1] ?? 0));
  return builder.build(schedule.endNs);
}

/** All turns, one behind the other on each CPU, which no task holds between two batches. */
function drain(builder: ScheduleBuilder, turns: Map<number, Turn>, timeNs: number): void {
  const last = new Map<number, Turn>();
  for (const turn of turns.values()) {
    finish(builder, turn.cpu, last.get(turn.cpu), turn.task, timeNs);
    last.set(turn.cpu, turn);
  }
  for (const [cpu, turn] of last) finish(builder, cpu, turn, 0, timeNs);
  turns.clear();
}

function finish(builder: ScheduleBuilder, cpu: number, turn: Turn | undefined, next: number, timeNs: number): void {
  builder.switched(timeNs, cpu, next, turn?.exits ?? false, turn?.records ?? 0, turn?.bytes ?? 0);
}
