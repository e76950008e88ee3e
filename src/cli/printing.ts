/**
 * All output of the command line. Names of threads, answers of a daemon and arguments may contain control characters.
 * Invariant: no other file of this room writes to standard output or standard error; of escape sequences only the
 * cursor control written here, and colours where the text was painted, reach a terminal.
 */
import { writeSync } from 'node:fs';
import { SGR_SEQUENCE } from './terminal.ts';

let isDirect = false;

/**
 * From now on without Node's streams. They make a pipe non-blocking, for every process that shares it; their failures
 * are errors of this process. What cannot be written is dropped.
 */
export function writeDirectly(): void {
  isDirect = true;
}

function write(fd: 1 | 2, text: string): void {
  if (isDirect) writeAll(fd, Buffer.from(text));
  else (fd === 1 ? process.stdout : process.stderr).write(text);
}

/** How long a full non-blocking pipe is waited for. */
const FULL_PIPE_MS = 1000;

function writeAll(fd: number, bytes: Buffer): void {
  const endMs = performance.now() + FULL_PIPE_MS;
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > endMs) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** Plain text for standard output. */
export function print(text: string): void {
  write(1, withoutControl(text));
}

/** Text for standard output with the colours of `painter`. */
export function printPainted(text: string): void {
  write(1, paintedWithoutControl(text));
}

/** Plain text for standard error. */
export function printError(text: string): void {
  write(2, withoutControl(text));
}

/**
 * A log entry for standard error; false: it cannot be written now. A stream would be destroyed by its first failure,
 * and write nothing once there is space again.
 */
export function printLogEntry(text: string): boolean {
  try {
    writeSync(process.stderr.fd, withoutControl(text));
    return true;
  } catch {
    return false;
  }
}

/** Text for standard error with the colours of `painter`. */
export function printErrorPainted(text: string): void {
  write(2, paintedWithoutControl(text));
}

/** A line of JSON: control characters are escaped, so the value is unchanged for its reader. */
export function printJson(value: unknown): void {
  write(1, `${jsonText(value)}\n`);
}

export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(CONTROL, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${hex(character.charCodeAt(at))}`).join(''),
  );
}

function hex(unit: number): string {
  return unit.toString(16).padStart(4, '0');
}

/** Control characters, and the marks that reorder text or break lines. */
const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** Colours and plain text in turn: at odd indices a colour. */
const COLOURS = new RegExp(`(${SGR_SEQUENCE.source})`);

/** Replaces every control character but the newline. */
export function withoutControl(text: string): string {
  return text.replace(CONTROL, (each) => (each === '\n' ? each : '?'));
}

function paintedWithoutControl(text: string): string {
  return text
    .split(COLOURS)
    .map((part, index) => (index % 2 === 1 ? part : withoutControl(part)))
    .join('');
}

/** The alternate screen, without a cursor (DEC private modes 1049 and 25). */
export function enterScreen(): void {
  write(1, '\x1b[?1049h\x1b[?25l');
}

export function leaveScreen(): void {
  write(1, '\x1b[?25h\x1b[?1049l');
}

export function drawFrame(lines: readonly string[]): void {
  write(1, frameOf(lines));
}

/** Draws a frame over the previous one without flicker: home, clear each line to its end, clear the rest. */
export function frameOf(lines: readonly string[]): string {
  return `\x1b[H${lines.map((line) => `${paintedWithoutControl(line)}\x1b[K`).join('\r\n')}\x1b[J`;
}

/** A line of progress on standard error, which replaces the previous one. */
export function showProgress(text: string): void {
  write(2, `\r\x1b[K${withoutControl(text)}`);
}

export function clearProgress(): void {
  write(2, '\r\x1b[K');
}
