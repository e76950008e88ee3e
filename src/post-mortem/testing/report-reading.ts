/** What tests of the post-mortem share: the summary of a ring in a snapshot's section, and one thread of a report. */
import type { RingSummary } from '../../abi/ringkeep-section.ts';
import type { PostMortem, ThreadReport } from '../report.ts';

/** A ring of the main thread without records, except for `fields`. */
export function ring(fields: Partial<RingSummary>): RingSummary {
  return {
    pid: 100,
    tid: 100,
    comm: '',
    records: 0,
    lost: 0,
    overwritten: 0,
    firstNs: null,
    lastNs: null,
    alive: true,
    leftOutBytes: 0,
    ...fields,
  };
}

/** Throws where the report has no such thread. */
export function thread(report: PostMortem, tid: number): ThreadReport {
  const found = report.threads.find((each) => each.tid === tid);
  if (found === undefined) throw new Error(`no thread ${tid}`);
  return found;
}
