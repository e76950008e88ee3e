import { expect, it } from 'vitest';
import { records } from '../engine/testing/scripted-source.ts';
import { EndedByExec } from './ended-by-exec.ts';
import { idOf, Sleepers, scriptedAttachments } from './testing/scripted-attachments.ts';

const US = 1000;

it('an EXIT right after an exec, before the program is mapped, is reported as the end of the recording', async () => {
  await using sleepers = new Sleepers();
  using scripted = scriptedAttachments();
  const { source, recorder, attacher } = scripted;
  const endedByExec = new EndedByExec();
  recorder.observe(endedByExec);
  const [unreadable, shortLived, slow] = [await sleepers.start(), await sleepers.start(), await sleepers.start()];
  for (const pid of [unreadable, shortLived, slow]) attacher.attach({ kind: 'pid', pid });
  const startNs = Number(process.hrtime.bigint());
  const at = (pid: number, us: number) => {
    const id = idOf(recorder.threads.get(pid)!.inheritance.eventSet!);
    return { tid: pid, pid, time: startNs + us * US, id };
  };
  source.put(0, records.comm(at(unreadable, 1), 'secret', true), records.exit(at(unreadable, 11)));
  source.put(
    0,
    records.comm(at(shortLived, 20), 'true', true),
    records.mmap(at(shortLived, 21), 4096n),
    records.exit(at(shortLived, 30)),
  );
  source.put(0, records.comm(at(slow, 40), 'slow', true), records.exit(at(slow, 40 + 20_000)));
  recorder.drain();
  expect(endedByExec.degraded).toEqual([expect.stringMatching(`process ${unreadable} \\(secret\\) at \\d+\\.\\d{6}$`)]);
});

it('of many processes that end so, some are named and the others counted', () => {
  const endedByExec = new EndedByExec();
  expect(endedByExec.degraded).toEqual([]);
  for (let pid = 1; pid <= 20; pid++) endedByExec.recordingEnded(pid, 'su', 1e9);
  expect(endedByExec.degraded).toEqual([expect.stringMatching(/process 1 \(su\) at 1\.000000, .*, 8 .* and 12 more$/)]);
});
