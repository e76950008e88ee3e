/**
 * All output of the command line. Names of threads, answers of a daemon and arguments may contain control characters.
 * Invariant: no other file of this room writes to standard output or standard error; of escape sequences only the
 * cursor control written here, and colours where the text was painted, reach a terminal.
 */
import { writeSync } from 'node:fs';
import { SGR_SEQUENCE } from './terminal.ts';

/** Plain text for standard output. */
export function print(text: string): void {
  process.stdout.write(withoutControl(text));
}

/** Text for standard output with the colours of `painter`. */
export function printPainted(text: string): void {
  process.stdout.write(paintedWithoutControl(text));
}

/** Plain text for standard error. */
export function printError(text: string): void {
  process.stderr.write(withoutControl(text));
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
  process.stderr.write(paintedWithoutControl(text));
}

/** A line of JSON: control characters are escaped, so the value is unchanged for its reader. */
export function printJson(value: unknown): void {
  process.stdout.write(`${jsonText(value)}\n`);
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
  process.stdout.write('\x1b[?1049h\x1b[?25l');
}

export function leaveScreen(): void {
  process.stdout.write('\x1b[?25h\x1b[?1049l');
}

export function drawFrame(lines: readonly string[]): void {
  process.stdout.write(frameOf(lines));
}

/** Draws a frame over the previous one without flicker: home, clear each line to its end, clear the rest. */
export function frameOf(lines: readonly string[]): string {
  return `\x1b[H${lines.map((line) => `${paintedWithoutControl(line)}\x1b[K`).join('\r\n')}\x1b[J`;
}

/** A line of progress on standard error, which replaces the previous one. */
export function showProgress(text: string): void {
  process.stderr.write(`\r\x1b[K${withoutControl(text)}`);
}

export function clearProgress(): void {
  process.stderr.write('\r\x1b[K');
}
