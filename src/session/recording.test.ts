import { readdirSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type GatedCommand, spawnGated } from '../linux/gated-command.ts';
import { Recording, type RecordingEvents, type TakenCut } from './recording.ts';

/** Longer than any wait takes unless the machine is overloaded. */
const PATIENCE_MS = 20_000;

/** What a descriptor stands for; the one that lists the directory is gone by now. */
function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return 'gone';
  }
}

/** What a recording of this process holds: directories of rings; epoll, eventfd and pidfd descriptors. */
function holdings(): string[] {
  const directories = ['/dev/shm', tmpdir()].flatMap((parent) =>
    readdirSync(parent).filter((name) => name.startsWith(`ringkeep-${process.pid}-`)),
  );
  return [
    ...directories,
    ...readdirSync('/proc/self/fd')
      .map(targetOf)
      .filter((target) => target.startsWith('anon_inode')),
  ];
}

/** A recording, by /proc, of a command that sleeps. */
async function recordSleeper(
  events: Partial<RecordingEvents>,
  pinBudgetBytes = 1 << 20,
  ringBytes = 16384,
): Promise<{ recording: Promise<Recording>; command: GatedCommand; before: string[] }> {
  const command = await spawnGated(['sleep', '60']);
  onTestFinished(() => command.kill('SIGKILL'));
  const before = holdings();
  const recording = Recording.start(
    {
      pid: command.pid,
      source: 'procfs',
      freq: 99,
      events: [],
      ringBytes,
      slots: 'auto',
      pinBudgetBytes,
      keepDeadBytes: 1 << 20,
      cutOnDeath: true,
    },
    { onDeath: () => {}, onCut: () => {}, onFailure: () => {}, ...events },
  );
  return { recording, command, before };
}

describe('a recording', () => {
  it('cuts and ends on request, and leaves nothing', async () => {
    const cuts: TakenCut[] = [];
    const onFailure = vi.fn();
    const { recording, command, before } = await recordSleeper({ onCut: (taken) => cuts.push(taken), onFailure });
    const started = await recording;
    command.open();
    started.requestCut();
    started.requestCut();
    await vi.waitFor(() => expect(cuts).toHaveLength(2), PATIENCE_MS);
    const end = await started.finish(null, true);

    expect(end!.taken!.section).toMatchObject({ reason: 'exit', source: 'procfs' });
    expect(end!.stats.tasks).toBe(1);
    expect(onFailure).not.toHaveBeenCalled();
    expect(holdings()).toEqual(before);
  });

  it('that breaks down reports it, leaves nothing, and has no result', async () => {
    const onFailure = vi.fn();
    const broken = new Error('the disk of the caller is on fire');
    const onCut = () => {
      throw broken;
    };
    const { recording, command, before } = await recordSleeper({ onCut, onFailure });
    const started = await recording;
    command.open();
    started.requestCut();
    await vi.waitFor(() => expect(onFailure).toHaveBeenCalledWith(broken), PATIENCE_MS);
    expect(holdings()).toEqual(before);
    started.requestCut();

    expect(await started.finish(null, true)).toBeUndefined();
    expect(onFailure).toHaveBeenCalledTimes(1);
  });

  it('that cannot begin leaves nothing', async () => {
    const { recording, before } = await recordSleeper({}, 1 << 20, 1);

    await expect(recording).rejects.toThrow();
    expect(holdings()).toEqual(before);
  });
});
