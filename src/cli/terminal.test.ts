import { expect, test } from 'vitest';
import { fitText, painter, printable, terminalStyle } from './terminal.ts';

test('colours are used on terminals only, and not with NO_COLOR or TERM=dumb', () => {
  expect(terminalStyle({ isTTY: true, columns: 90 }, {})).toEqual({ width: 90, hasColour: true });
  expect(terminalStyle({ isTTY: true, columns: 90 }, { NO_COLOR: '1' }).hasColour).toBe(false);
  expect(terminalStyle({ isTTY: true, columns: 90 }, { TERM: 'dumb' }).hasColour).toBe(false);
  expect(terminalStyle({}, {})).toEqual({ width: 120, hasColour: false });
  expect(painter(false)('red', 'x')).toBe('x');
  expect(painter(true)('red', 'x')).toBe('\x1b[31mx\x1b[0m');
});

test('no name can move the cursor or reorder text', () => {
  expect(printable('a\x1b[2Jb\nc\u202ed')).toBe('a?[2Jb?c?d');
  expect(printable('naïve-日本')).toBe('naïve-日本');
});

test('cut text ends with an ellipsis', () => {
  expect([fitText('worker', 6), fitText('worker', 5), fitText('worker', 0)]).toEqual(['worker', 'work…', '']);
});
