import { describe, expect, it } from 'vitest';
import { parseEventSpec } from '../source/event-spec.ts';
import { openAttachableSource } from './open-source.ts';

describe('an attachable source', () => {
  it('is /proc if that was requested, and reports the missing events', async () => {
    const { source, degraded } = await openAttachableSource('procfs', {
      freq: 99,
      events: [parseEventSpec('page-faults'), parseEventSpec('major-faults')],
    });
    expect([source.kind, source.pmu]).toEqual(['procfs', 'procfs']);
    expect(degraded).toEqual(['without perf these events are not recorded: page-faults, major-faults']);
    source.close();
  });

  it('is perf, or /proc with the reason why it is not perf', async () => {
    const { source, degraded } = await openAttachableSource('auto', { freq: 99, events: [] });
    if (source.kind === 'perf') expect([source.pmu, degraded]).toEqual(['software', []]);
    else expect(degraded.join()).toContain('perf events are refused here');
    source.close();
  });

  it('is not replaced by /proc if perf was requested', async () => {
    // No kernel samples so often.
    await expect(openAttachableSource('perf', { freq: 2 ** 40, events: [] })).rejects.toMatchObject({
      code: 'perf-refused',
    });
    const { source } = await openAttachableSource('auto', { freq: 2 ** 40, events: [] });
    expect(source.kind).toBe('procfs');
    source.close();
  });
});
