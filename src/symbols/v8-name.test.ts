import { describe, expect, test } from 'vitest';
import { parseV8Name } from './v8-name.ts';

describe('a name of V8', () => {
  test.each([
    ['JS:*spin file:///srv/app.mjs:3:18', 'spin', '/srv/app.mjs', 3, 18],
    ['JS:^fib /srv/app.js:2:13', 'fib', '/srv/app.js', 2, 13],
    ['LazyCompile:~get size /srv/a b/app.js:7:11', 'get size', '/srv/a b/app.js', 7, 11],
    ['JS:~ node:fs:82:9', '(anonymous)', 'node:fs', 82, 9],
    [
      'JS:+processTicksAndRejections node:internal/process/task_queues:67:35',
      'processTicksAndRejections',
      'node:internal/process/task_queues',
      67,
      35,
    ],
    ['Script:~ /srv/main.js:1:1', '(top level)', '/srv/main.js', 1, 1],
    ['JS:*run file:///srv/caf%C3%A9.mjs:1:2', 'run', '/srv/café.mjs', 1, 2],
    ['JS:*run file:///srv/%zz.mjs:1:2', 'run', 'file:///srv/%zz.mjs', 1, 2],
    ['Eval:~ :1:1', '(top level)', '', 1, 1],
    ['Function:~anonymous evalmachine.<anonymous>:4:5', 'anonymous', 'evalmachine.<anonymous>', 4, 5],
  ])('%s is a function in a file', (text, name, file, line, column) => {
    expect(parseV8Name(text)).toEqual({ name, file, line, column });
  });

  test.each([
    'Builtin:ArrayMap',
    'BytecodeHandler:LdaZero',
    'RegExp:^a+:1:1$',
    'py::main:/srv/main.py',
    'JS:wasm-function[3]-3-turbofan',
    '',
  ])('%s is no function of JavaScript', (text) => {
    expect(parseV8Name(text)).toBeUndefined();
  });
});
