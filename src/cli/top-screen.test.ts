import { describe, expect, it } from 'vitest';
import { FakeRecorder } from '../daemon/testing/fake-recorder.ts';
import type { DetachedStatus } from '../session/control.ts';
import { frameOf } from './printing.ts';
import { formatStatus } from './status-text.ts';
import { printable, textWidth } from './terminal.ts';
import { renderTop } from './top-screen.ts';

const PLAIN = { width: 120, height: Number.POSITIVE_INFINITY, hasColour: false };
const NOW = 1_700_000_065_000;

async function attached(change: Partial<DetachedStatus> = {}): Promise<DetachedStatus> {
  const recorder = new FakeRecorder();
  await recorder.attach({ kind: 'comm', glob: 'node*' }, 'web');
  return { ...recorder.status(), pid: 4711, ...change };
}

describe('the screen of top', () => {
  it('shows resource use, the thread in each slot, and the attachments', async () => {
    expect(renderTop(await attached(), PLAIN, NOW)).toEqual([
      'ringkeep 0.1.0  pid 4711  up 1m5s  source perf  recorder 1.2% of a CPU',
      '1 thread  1235 records/s  1000 in total',
      'pinned [#.......................] 16KiB of 272KiB, peak 32KiB',
      'rings  [........................] 8KiB of 1GiB, 64KiB each',
      'lost 3 (2 in the kernel), 1 task unrecorded, 4 rings evicted, 0 pins refused',
      '',
      'CPU  PINNED IN ITS SLOTS (2)',
      '  0  node/8 16KiB',
      '  1  offline',
      '',
      'ATTACHMENTS',
      'web/software: comm node*, 1 thread',
    ]);
  });

  it('shows no negative uptime if the wall clock was set back', async () => {
    const status = await attached();
    expect(renderTop(status, PLAIN, status.startedWallMs - 1)[0]).toContain('  up 0ns  ');
    expect(formatStatus(status, status.startedWallMs - 1)).toContain(', up 0ns, ');
  });

  it('is never wider or higher than the terminal, and counts omitted lines', async () => {
    const cpus = Array.from({ length: 64 }, (_, cpu) => ({
      cpu,
      online: true,
      slots: Array.from({ length: 9 }, (_, tid) => ({ pid: 1, tid, comm: 'a-long-name', pinnedBytes: 4096 })),
    }));
    const status = await attached({ cpus, degraded: ['x'.repeat(300)] });
    for (const [width, height] of [
      [40, 10],
      [80, 24],
      [200, 50],
    ] as const) {
      const lines = renderTop(status, { width, height, hasColour: false }, NOW);
      expect(lines).toHaveLength(height);
      expect(Math.max(...lines.map(textWidth))).toBeLessThanOrEqual(width);
      expect(lines.at(-1)).toMatch(/^… \d+ more lines$/);
    }
  });

  it('colours bars by how full they are, and losses if there are any', async () => {
    const status = await attached();
    const { stats } = status;
    const painted = async (now: number, lost: number) => {
      const change = { stats: { ...stats, lost, unrecordedTasks: 0, pinnedBytes: { now, peak: now, bound: 100 } } };
      const lines = renderTop(await attached(change), { ...PLAIN, hasColour: true }, NOW);
      return [lines[2]!.slice(0, 5), lines[4]!.slice(0, 4)];
    };
    expect(await painted(10, 0)).toEqual(['\x1b[32m', '\x1b[2m']);
    expect(await painted(60, 0)).toEqual(['\x1b[33m', '\x1b[2m']);
    expect(await painted(100, 1)).toEqual(['\x1b[31m', '\x1b[31']);
  });

  it('no name of a thread or of an attachment reaches the terminal as an escape sequence', async () => {
    const slots = [{ pid: 1, tid: 1, comm: '\x1b[2J', pinnedBytes: 1 }];
    const recorder = new FakeRecorder();
    await recorder.attach({ kind: 'comm', glob: '\x1b]0;x\x07' }, 'a');
    const status = { ...recorder.status(), cpus: [{ cpu: 0, online: true, slots }], degraded: ['\x9b2J'] };
    const text = renderTop(status, PLAIN, NOW).join('');
    expect(text).toBe(printable(text));
  });

  it('a frame overwrites the previous one without a blank screen between', () => {
    expect(frameOf(['a', 'b'])).toBe('\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J');
  });
});
