/**
 * What a capture holds and no report shows, one sentence each. Counts are of the window; of an AUX area and of
 * simpleperf's own records, which have no time, of the whole file.
 */
import { ReadFormat, SampleType } from '../abi/event-attr.ts';
import { RecordType } from '../abi/record-table.ts';
import { measureRest } from '../abi/sample-rest.ts';
import { formatSize } from '../base/units.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { CaptureEvent } from '../perf-data/event-table.ts';

interface Counts {
  userStacks: number;
  branchStacks: number;
  groupReads: number;
  idleSamples: number;
  taskless: number;
  auxBytes: number;
  auxRecords: number;
}

/** `fromNs`: where the counts of samples begin. */
export function unusedContent(capture: Capture, fromNs: bigint): string[] {
  const counts = count(capture, fromNs);
  const sentences: [number, (found: number) => string][] = [
    [counts.userStacks, (found) => `${samples(found)} with a copy of the user stack, which is not unwound`],
    [capture.unwoundChains, (found) => `${number(found, 'call chain')} that simpleperf unwound, in records of its own`],
    [counts.branchStacks, (found) => `branch stacks of ${samples(found)}`],
    [counts.groupReads, (found) => `counts of the other events of a group, in ${samples(found)}`],
    [
      counts.auxRecords,
      (found) => `AUX traces of ${formatSize(counts.auxBytes)} (${number(found, 'record')}), which are not decoded`,
    ],
    [
      counts.idleSamples,
      (found) =>
        `${samples(found)} of tid 0 (the idle tasks, and tasks outside the pid namespace), counted and in no row`,
    ],
    [counts.taskless, (found) => `${samples(found)} naming no task, counted and in no row`],
  ];
  return sentences.flatMap(([found, text]) => (found > 0 ? [text(found)] : []));
}

function count(capture: Capture, fromNs: bigint): Counts {
  const counts = newCounts();
  const { threadOfRecord } = capture.tasks;
  const traced = { records: 0, bytes: 0 };
  const first = fromNs > 0n ? capture.indexOfTime(fromNs) : 0;
  const hasRest = capture.events.map(holdsMore);
  for (let index = 0; index < capture.recordCount; index++) {
    const type = capture.typeAt(index);
    if (type === RecordType.AUXTRACE || type === RecordType.AUX) {
      const record = capture.record(index);
      if (record.name === 'AUXTRACE') {
        counts.auxRecords++;
        counts.auxBytes += Number(record.body.auxBytes);
      } else if (record.name === 'AUX') {
        traced.records++;
        traced.bytes += Number(record.body.auxSize);
      }
    }
    if (type !== RecordType.SAMPLE || index < first) continue;
    const tid = capture.tidAt(index);
    if (tid === 0) counts.idleSamples++;
    else if (threadOfRecord[index]! < 0) counts.taskless++;
    if (hasRest[capture.eventIndexAt(index)]) addSample(counts, capture, index);
  }
  // The data of the traces is missing, their records are not.
  return counts.auxRecords > 0 ? counts : { ...counts, auxRecords: traced.records, auxBytes: traced.bytes };
}

function newCounts(): Counts {
  return {
    userStacks: 0,
    branchStacks: 0,
    groupReads: 0,
    idleSamples: 0,
    taskless: 0,
    auxBytes: 0,
    auxRecords: 0,
  };
}

function holdsMore({ attr }: CaptureEvent): boolean {
  const { branchStack, stackUser, read } = SampleType;
  const isGroup = (attr.sampleType & read) !== 0n && (attr.readFormat & ReadFormat.group) !== 0n;
  return isGroup || (attr.sampleType & (branchStack | stackUser)) !== 0n;
}

function addSample(counts: Counts, capture: Capture, index: number): void {
  const record = capture.record(index);
  if (record.name !== 'SAMPLE') return;
  const { attr } = capture.eventAt(index);
  const { branches, userStackBytes } = measureRest(record.body.rest, attr);
  if (branches > 0) counts.branchStacks++;
  if (userStackBytes > 0) counts.userStacks++;
  const { read } = record.body;
  if (read === undefined || !(attr.readFormat & ReadFormat.group)) return;
  const members = new DataView(read.buffer, read.byteOffset).getBigUint64(0, true);
  if (members > 1n) counts.groupReads++;
}

function samples(value: number): string {
  return number(value, 'sample');
}

function number(value: number, one: string): string {
  return `${value.toLocaleString('en-US')} ${one}${value === 1 ? '' : 's'}`;
}
