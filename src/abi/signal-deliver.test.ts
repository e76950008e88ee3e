import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { encodeStruct, fieldOffset } from './layout.ts';
import { fatalSignalOf, SIGNAL_DELIVER_FIELDS } from './signal-deliver.ts';

function payload(signal: number, handler = 0n, bytes = 40): Uint8Array {
  const raw = new Uint8Array(40);
  const common = { commonType: 1, commonFlags: 0, commonPreemptCount: 0, commonPid: 7 };
  encodeStruct(
    SIGNAL_DELIVER_FIELDS,
    { ...common, signal, errno: 0, code: 1, padding: 0, handler },
    new DataView(raw.buffer),
    0,
  );
  return raw.subarray(0, bytes);
}

describe('the delivery of a signal', () => {
  it('has the layout of the kernel', () => {
    expect(fieldOffset(SIGNAL_DELIVER_FIELDS, 'signal')).toBe(8);
    expect(fieldOffset(SIGNAL_DELIVER_FIELDS, 'handler')).toBe(24);
  });

  it('is fatal for an unhandled signal whose default ends the process', () => {
    const { SIGSEGV, SIGCHLD, SIGCONT } = constants.signals;
    expect(fatalSignalOf(payload(SIGSEGV))).toBe(SIGSEGV);
    expect(fatalSignalOf(payload(SIGSEGV, 0x401000n))).toBeUndefined();
    expect(fatalSignalOf(payload(SIGCHLD))).toBeUndefined();
    expect(fatalSignalOf(payload(SIGCONT))).toBeUndefined();
  });

  it('is read from no other payload', () => {
    expect(fatalSignalOf(payload(constants.signals.SIGSEGV, 0n, 31))).toBeUndefined();
  });
});
