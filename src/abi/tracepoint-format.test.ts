import { expect, it } from 'vitest';
import { parseTracepointFormat, readTracepointField } from './tracepoint-format.ts';

const SCHED_SWITCH = `name: sched_switch
ID: 372
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;

print fmt: "prev_comm=%s prev_pid=%d", REC->prev_comm, REC->prev_pid
`;

it('names the fields of a format file, arrays without their size', () => {
  const format = parseTracepointFormat(SCHED_SWITCH)!;
  expect(format).toMatchObject({ name: 'sched_switch', id: 372n });
  expect([...format.fields.keys()]).toEqual(['common_type', 'common_pid', 'prev_comm', 'prev_pid', 'prev_state']);
  expect(format.fields.get('prev_pid')).toEqual({ offset: 24, bytes: 4, isSigned: true });
});

it('is undefined for any other text', () => {
  expect(parseTracepointFormat('')).toBeUndefined();
  expect(parseTracepointFormat('name: x\n')).toBeUndefined();
});

it('reads fields of any width, and none beyond the sample', () => {
  const raw = new Uint8Array(40);
  const view = new DataView(raw.buffer);
  view.setInt32(24, -7, true);
  view.setBigInt64(32, -2n, true);
  const { fields } = parseTracepointFormat(SCHED_SWITCH)!;
  expect(readTracepointField(raw, fields.get('prev_pid')!)).toBe(-7);
  expect(readTracepointField(raw, fields.get('prev_state')!)).toBe(-2);
  expect(readTracepointField(raw, { offset: 32, bytes: 4, isSigned: false })).toBe(0xffff_fffe);
  expect(readTracepointField(raw, { offset: 24, bytes: 1, isSigned: true })).toBe(-7);
  expect(readTracepointField(raw, { offset: 24, bytes: 2, isSigned: false })).toBe(0xfff9);
  expect(readTracepointField(raw.subarray(0, 26), fields.get('prev_pid')!)).toBeUndefined();
  expect(readTracepointField(raw, fields.get('prev_comm')!)).toBeUndefined();
});
