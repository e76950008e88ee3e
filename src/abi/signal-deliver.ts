/**
 * The tracepoint signal:signal_deliver: which thread takes which signal, and its disposition.
 * Source: include/trace/events/signal.h and include/linux/trace_events.h (struct trace_entry), Linux 6.1.
 */
import { decodeStruct, structBytes } from './layout.ts';
import { HARMLESS_SIGNALS } from './signal.ts';

/** perf's name of it. */
export const SIGNAL_DELIVER = 'signal:signal_deliver';

/** The payload up to sa_flags. */
export const SIGNAL_DELIVER_FIELDS = [
  ['commonType', 'u16'],
  ['commonFlags', 'u8'],
  ['commonPreemptCount', 'u8'],
  ['commonPid', 's32'],
  ['signal', 's32'],
  ['errno', 's32'],
  ['code', 's32'],
  ['padding', 'u32'],
  ['handler', 'u64'],
] as const;

const PAYLOAD_BYTES = structBytes(SIGNAL_DELIVER_FIELDS);
/** SIG_DFL. */
const DEFAULT_HANDLER = 0n;

/** A tracepoint filter: unhandled signals whose default is neither to be ignored nor to stop (signal(7)). */
export const FATAL_DELIVERY_FILTER = [
  `sa_handler==${DEFAULT_HANDLER}`,
  ...[...HARMLESS_SIGNALS].map((signal) => `sig!=${signal}`),
].join(' && ');

/** The signal that ends the process; undefined for a harmless or handled one, or another payload. */
export function fatalSignalOf(payload: Uint8Array): number | undefined {
  if (payload.length < PAYLOAD_BYTES) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const { signal, handler } = decodeStruct(SIGNAL_DELIVER_FIELDS, view, 0);
  return handler === DEFAULT_HANDLER && !HARMLESS_SIGNALS.has(signal) ? signal : undefined;
}
