import { expect, test } from 'vitest';
import { fitText, painter, printable, terminalStyle } from './terminal.ts';

test('colours are for terminals that want them', () => {
  expect(terminalStyle({ isTTY: true, columns: 90 }, {})).toEqual({ width: 90, hasColour: true });
  expect(terminalStyle({ isTTY: true, columns: 90 }, { NO_COLOR: '1' }).hasColour).toBe(false);
  expect(terminalStyle({ isTTY: true, columns: 90 }, { TERM: 'dumb' }).hasColour).toBe(false);
  expect(terminalStyle({}, {})).toEqual({ width: 120, hasColour: false });
  expect(painter(false)('red', 'x')).toBe('x');
  expect(painter(true)('red', 'x')).toBe('\x1b[31mx\x1b[0m');
});

test('no name can move the cursor or turn the text around', () => {
  expect(printable('a\x1b[2Jb\nc\u202ed')).toBe('a?[2Jb?c?d');
  expect(printable('naïve-日本')).toBe('naïve-日本');
});

test('text is cut with a sign that it was', () => {
  expect([fitText('worker', 6), fitText('worker', 5), fitText('worker', 0)]).toEqual(['worker', 'work…', '']);
});
