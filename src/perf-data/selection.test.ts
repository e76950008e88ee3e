import { describe, expect, test } from 'vitest';
import { openCapture } from './capture.ts';
import { type CaptureSelection, SelectedPart } from './selection.ts';
import { CaptureBuilder } from './testing/capture-builder.ts';

const MAIN = { pid: 100, tid: 100 };
const WORKER = { pid: 100, tid: 101 };
const OTHER = { pid: 200, tid: 200 };

const builder = new CaptureBuilder()
  .comm(MAIN, 0n, 'main')
  .comm(WORKER, 0n, 'worker-1')
  .switchIn(MAIN, 100n)
  .switchOut(MAIN, 200n)
  .switchIn(WORKER, 300n)
  .exit(WORKER, 400n)
  .switchIn(OTHER, 600n)
  .record('LOST', { id: 11n, lost: 3n }, { time: 700n, pid: 0xffffffff, tid: 0xffffffff })
  .switchOut(OTHER, 1_000n);

function selected(selection: CaptureSelection): { tids: number[]; records: number } {
  const capture = openCapture(builder.build());
  const part = new SelectedPart(capture, selection);
  const indices = Array.from({ length: capture.recordCount }, (_, index) => index);
  return {
    tids: part.threads.map(({ tid }) => tid),
    records: indices.filter((index) => part.hasRecord(index)).length,
  };
}

describe('a selection', () => {
  test.each<[string, CaptureSelection, number[], number]>([
    ['of nothing in particular is everything', {}, [100, 101, 200], 9],
    ['by tid', { tid: 101 }, [101], 3],
    ['by pid', { pid: 100 }, [100, 101], 6],
    ['by name, which a thread without one does not have', { comm: (comm) => comm.includes('-') }, [101], 3],
    ['of the last part, without who had ended before', { lastNs: 400 }, [100, 200], 3],
    ['by several is what all of them have in common', { pid: 100, lastNs: 700 }, [100, 101], 2],
    ['of what is not there is nothing', { pid: 100, tid: 200 }, [], 0],
  ])('%s', (_, selection, tids, records) => {
    expect(selected(selection)).toEqual({ tids, records });
  });

  test('keeps records without a thread only where all threads are selected, or on request', () => {
    const capture = openCapture(builder.build());
    const lost = Array.from({ length: capture.recordCount }, (_, index) => index).find(
      (index) => capture.record(index).name === 'LOST',
    )!;
    const part = new SelectedPart(capture, { pid: 100 });
    expect([part.hasRecord(lost), part.hasRecord(lost, true)]).toEqual([false, true]);
    expect(new SelectedPart(capture, {}).hasRecord(lost)).toBe(true);
  });

  test('looks back from the death where its time is known', () => {
    const death = { ...MAIN, comm: 'main', signal: 'SIGSEGV', timeNs: 350, evidence: 'main-thread' as const };
    const capture = openCapture(new CaptureBuilder().switchIn(MAIN, 100n).section({ cutNs: '1000', death }).build());
    expect(new SelectedPart(capture, { lastNs: 100 }).fromNs).toBe(250n);
  });
});
