/** `ringkeep show`: a capture's post-mortem, as text or as JSON. Nothing here but options, the file and the printing. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { parseDurationNs } from '../base/units.ts';
import type { CapturePort } from '../capture/byte-source.ts';
import { openCapture } from '../capture/capture.ts';
import { directoryCapture } from '../capture/file-header.ts';
import { postMortem } from '../capture/post-mortem.ts';
import type { PostMortem } from '../capture/report.ts';
import { formatPostMortem } from './post-mortem-text.ts';
import { terminalStyle } from './terminal.ts';

interface ShowOptions {
  tid?: string;
  last?: string;
  all?: boolean;
  json?: boolean;
}

/** Adds `show` to the program. Its action throws RingkeepError for what cannot be read or is not there. */
export function addShowCommand(program: Command): void {
  program
    .command('show')
    .summary('print the post-mortem of a capture')
    .description(
      'What every thread was doing just before: the death, each thread’s state, on-CPU and off-CPU time and last stacks.\n' +
        'Reads ringkeep snapshots and any perf.data file. SLEPT is off-CPU by choice, WAITED is runnable without a CPU.',
    )
    .argument('<file>', 'a perf.data file')
    .option('-t, --tid <tid>', 'only this thread')
    .option('--last <duration>', 'count only the last part before the death, or before the end (10ms, 2s)')
    .option('--all', 'every thread and every frame')
    .option('--json', 'the post-mortem as JSON: times are decimal text, durations nanoseconds, null is unknown')
    .action((file: string, options: ShowOptions) => {
      process.stdout.write(showCapture(file, options));
    });
}

function showCapture(file: string, options: ShowOptions): string {
  const tid = options.tid === undefined ? undefined : parseTid(options.tid);
  const lastNs = options.last === undefined ? undefined : parseDurationNs(options.last);
  const report = readPostMortem(file, {
    ...(tid === undefined ? {} : { tid }),
    ...(lastNs === undefined ? {} : { lastNs }),
  });
  if (tid !== undefined && report.threads.length === 0)
    throw new RingkeepError('no-such-thread', `the capture has no thread ${tid}`, { tid, file });
  if (options.json) return `${JSON.stringify(report)}\n`;
  const style = terminalStyle(process.stdout, process.env);
  return formatPostMortem(report, { ...style, showAll: options.all === true || tid !== undefined });
}

const TID_LIMIT = 2 ** 22;

function parseTid(text: string): number {
  const tid = Number(text);
  if (!/^\d+$/.test(text) || tid === 0 || tid > TID_LIMIT)
    throw new RingkeepError('bad-argument', `"${text}" is not a thread id`, { argument: '--tid', text });
  return tid;
}

/**
 * The post-mortem of the capture at `path`, of any size: larger files are read by range.
 * Throws `capture-unreadable`, and what `openCapture` throws.
 */
export function readPostMortem(path: string, options: Parameters<typeof postMortem>[1] = {}): PostMortem {
  const descriptor = openInput(path);
  try {
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) throw directoryCapture();
    const source =
      stat.isFile() && stat.size > WHOLE_MAX_BYTES
        ? filePort(descriptor, stat.size, path)
        : readWhole(descriptor, path);
    return postMortem(openCapture(source), options);
  } finally {
    closeSync(descriptor);
  }
}

/** Up to here a file is held in memory; above, it is read by range as it is needed. */
const WHOLE_MAX_BYTES = 1024 ** 3;

function openInput(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): RingkeepError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return new RingkeepError('capture-unreadable', `cannot read ${path}`, { path, errno }, { cause });
}

function filePort(descriptor: number, size: number, path: string): CapturePort {
  return {
    size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      const count = fill(descriptor, bytes, offset, path);
      return bytes.subarray(0, count);
    },
  };
}

/** Reads up to `bytes.length` bytes; fewer at the end of the file. `offset` null: from where the descriptor stands. */
function fill(descriptor: number, bytes: Uint8Array, offset: number | null, path: string): number {
  let count = 0;
  try {
    while (count < bytes.length) {
      const position = offset === null ? null : offset + count;
      const read = readSync(descriptor, bytes, count, bytes.length - count, position);
      if (read === 0) break;
      count += read;
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return count;
}

const READ_BYTES = 1 << 20;

/** All that comes from the descriptor: a file, or a pipe (`perf record -o - … | ringkeep show /dev/stdin`). */
function readWhole(descriptor: number, path: string): Uint8Array {
  let bytes = new Uint8Array(Math.max(READ_BYTES, fstatSync(descriptor).size + 1));
  let length = 0;
  for (;;) {
    const count = fill(descriptor, bytes.subarray(length), null, path);
    length += count;
    if (length < bytes.length) return bytes.subarray(0, length);
    if (length > 2 * WHOLE_MAX_BYTES)
      throw new RingkeepError('unsupported-capture', `${path} is too long to be read from a pipe`, {
        path,
        bytes: length,
      });
    const longer = new Uint8Array(2 * length);
    longer.set(bytes);
    bytes = longer;
  }
}
