import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { explain } from './diagnostics.ts';
import { frameOf, print, printError, printJson, printPainted } from './printing.ts';
import { painter } from './terminal.ts';

/** A name of a thread that clears the screen, sets the title, turns text around and forges a line. */
const HOSTILE = 'a\x1b[2J\x1b]0;x\x07\u202eb\rc\x9b31md\x1b[31m';

afterEach(() => void vi.restoreAllMocks());

function printedBy(action: () => void): string {
  let text = '';
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, 'write').mockImplementation((chunk) => {
      text += chunk;
      return true;
    });
  action();
  vi.restoreAllMocks();
  return text;
}

test.each([
  ['standard output', print],
  ['standard error', printError],
])('no escape sequence reaches %s', (_, write) => {
  expect(printedBy(() => write(`${HOSTILE}\nnext\n`))).toBe('a?[2J?]0;x??b?c?31md?[31m\nnext\n');
});

test('painted text keeps its colours and nothing else', () => {
  const red = painter(true)('red', 'x');
  expect(printedBy(() => printPainted(`${red}\x1b[2J\x1b[8m`))).toBe(`${red}?[2J?[8m`);
});

test('JSON escapes control characters, so that its reader gets the same value', () => {
  const text = printedBy(() => printJson({ comm: HOSTILE, astral: '\u{e0001}' }));
  expect(text).not.toMatch(/[\p{Cc}\p{Cf}](?!$)/u);
  expect(JSON.parse(text)).toEqual({ comm: HOSTILE, astral: '\u{e0001}' });
});

test('a frame of top has cursor control of its own only', () => {
  expect(frameOf([HOSTILE])).toBe('\x1b[Ha?[2J?]0;x??b?c?31md\x1b[31m\x1b[K\x1b[J');
});

test('an error message is one line each of cause and remedy, whatever its details contain', () => {
  const error = new RingkeepError('command-not-found', 'the command "a\nb\x1b[2J" cannot be run', { command: 'a\nb' });
  expect(explain(error).split('\n')).toHaveLength(2);
});

test('no other file of the command line writes to the standard streams', () => {
  const files = readdirSync(import.meta.dirname).filter(
    (name) => /(?<!\.test)\.ts$/.test(name) && name !== 'printing.ts',
  );
  const writing = files.filter((name) =>
    /std(out|err)\.write|console\./.test(readFileSync(`${import.meta.dirname}/${name}`, 'utf8')),
  );
  expect(writing).toEqual([]);
});
