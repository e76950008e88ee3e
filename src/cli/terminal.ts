/**
 * A terminal's width and colours, and text for it. Invariant: text from a capture, a process or a daemon reaches a
 * terminal only through `printable`, so that no name in it can move the cursor.
 */

export interface TerminalStyle {
  /** Columns. */
  readonly width: number;
  readonly hasColour: boolean;
}

/** Width if the output is no terminal but a file or a pipe. */
const DEFAULT_WIDTH = 120;
const MIN_WIDTH = 40;

/** The style of a stream: colours only on a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb. */
export function terminalStyle(
  stream: { isTTY?: boolean; columns?: number },
  env: Readonly<Record<string, string | undefined>>,
): TerminalStyle {
  const hasColour = stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return { width: Math.max(MIN_WIDTH, stream.columns ?? DEFAULT_WIDTH), hasColour };
}

const SGR = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
/** Matches what `painter` adds. */
export const SGR_SEQUENCE = new RegExp(`\\x1b\\[(?:0|${Object.values(SGR).join('|')})m`);
export type Paint = (colour: keyof typeof SGR, text: string) => string;

/** Paints text, or returns it unchanged without colours. */
export function painter(hasColour: boolean): Paint {
  return (colour, text) => (hasColour && text !== '' ? `\x1b[${SGR[colour]}m${text}\x1b[0m` : text);
}

/** The text with control characters and the marks that reorder text replaced. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

/** Cuts unpainted text to `width` characters; the last one is … if it was cut. */
export function fitText(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  return width < 1 ? '' : `${characters.slice(0, width - 1).join('')}…`;
}

/** Length in characters. */
export function textWidth(text: string): number {
  return Array.from(text).length;
}

/** Breaks at spaces; a word that is too long is cut. Continuation lines are indented by two more than the first. */
export function wrapped(text: string, width: number): string[] {
  const clean = printable(text);
  const indent = ' '.repeat(clean.length - clean.trimStart().length);
  const lines: string[] = [];
  let line = indent;
  for (const word of clean.trim().split(' ')) {
    const joined = line.trim() === '' ? line + word : `${line} ${word}`;
    if (joined.length <= width) line = joined;
    else {
      if (line.trim() !== '') lines.push(line);
      line = fitText(`${indent}  ${word}`, width);
    }
  }
  return [...lines, line];
}
