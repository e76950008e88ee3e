/** A quiet thread keeps its history, however often other threads switch. */
import { expect, test } from 'vitest';
import { requireAgreement } from './testing/agreement.ts';
import { record, show, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const WAKEUPS = 8;

test('a thread that wakes twice a second keeps its whole history beside two that switch as fast as they can', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const output = new Workplace().file('quiet.perf.data');
  const { status, stdout, summary } = await record(
    ['-o', output, '--snapshot', 'always', '--ring', '16KiB'],
    [testProgram('quiet-among-noisy'), `${WAKEUPS}`],
  );
  const [, tid, spanNs] = /^quiet (\d+) (\d+)$/m.exec(stdout)!.map(Number);

  expect(status).toBe(0);
  expect(summary).toMatchObject({ tasks: 4, unrecordedTasks: 0 });
  const { threads } = show(output);
  const quiet = threads.find((thread) => thread.tid === tid)!;
  expect(quiet).toMatchObject({ comm: 'quiet', lost: 0, overwritten: 0 });
  context.skip(
    summary.kernelLost > 0,
    `the kernel dropped ${summary.kernelLost} records here, some of them perhaps its own`,
  );
  // It may sleep more often: on a lock, for a page.
  expect(quiet.wakeups).toBeGreaterThanOrEqual(WAKEUPS);
  expect(Number(BigInt(quiet.lastNs!) - BigInt(quiet.firstNs!))).toBeGreaterThanOrEqual(spanNs!);

  const noisy = threads.filter(({ comm }) => comm === 'noisy');
  expect(noisy).toHaveLength(2);
  for (const thread of noisy) {
    expect(thread.overwritten).toBeGreaterThan(0);
    // Their rings hold the end of the run, not its beginning.
    expect(BigInt(thread.lastNs!) - BigInt(quiet.firstNs!)).toBeGreaterThan(BigInt(spanNs!) / 2n);
  }
  // Under load the kernel's rings may lose records of the noisy threads, of which perf then warns.
  requireAgreement(output, summary.lost > 0 ? 'lossy' : 'whole');
});
