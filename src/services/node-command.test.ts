import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { isNode, jitMapEnvironment, plantedMap } from './node-command.ts';

let folder: string;
let env: NodeJS.ProcessEnv;

/** A PATH with programs that are never run; only their first lines and names matter. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringkeep-node-'));
  const program = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), 0o755);
  };
  program('node', '\x7fELF');
  program('python', '\x7fELF');
  program('env', '\x7fELF');
  program('npx-cli.js', '#!/usr/bin/env node\n');
  symlinkSync('npx-cli.js', join(folder, 'npx'));
  symlinkSync('node', join(folder, 'js'));
  mkdirSync(join(folder, 'shims'));
  program('shims/node', '#!/bin/sh\nexec the-real-one "$@"\n');
  program('direct', `#!${folder}/node --no-warnings\n`);
  program('split', `#!${folder}/env -S NODE_ENV=test node --enable-source-maps\n`);
  program('through', `#!${folder}/direct\n`);
  program('shell', '#!/bin/sh\nnode server.js\n');
  program('circle', `#!${folder}/circle\n`);
  program('empty', '');
  env = { PATH: `${join(folder, 'nowhere')}:${folder}` };
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a command is Node', () => {
  test.each([
    ['by its name', ['node', 'server.js']],
    ['by the target of its link', ['js', 'server.js']],
    ['by the interpreter of its script', ['direct']],
    ['by the interpreter that env looks for', ['npx', 'some-tool']],
    ['by the interpreter that env looks for among other arguments', ['split']],
    ['by the interpreter of its interpreter', ['through']],
    ['after env', ['env', '-u', 'HOME', 'NODE_ENV=production', 'node', 'server.js']],
  ])('%s', (_, command) => {
    expect(isNode(command, env)).toBe(true);
  });

  test('by the name that a version manager gives its own program', () => {
    expect(isNode([join(folder, 'shims/node')], env)).toBe(true);
  });

  test.each([
    ['another program', ['python', 'node.py']],
    ['a shell, whatever its script does', ['shell']],
    ['a missing file', ['nothing-of-that-name']],
    ['an empty file', ['empty']],
    ['a script that is its own interpreter', ['circle']],
    ['env alone', ['env']],
  ])('but not %s', (_, command) => {
    expect(isNode(command, env)).toBe(false);
  });
});

describe('a planted map', () => {
  test('is a link, or another user’s file without a process of theirs', (context) => {
    const directory = mkdtempSync(join(tmpdir(), 'ringkeep-maps-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, 'perf-77.map'), '');
    writeFileSync(join(directory, 'other'), '');
    expect(plantedMap(directory)).toBeUndefined();
    const link = join(directory, 'perf-4194305.map');
    symlinkSync('/etc/passwd', link);
    expect(plantedMap(directory)).toBe(link);
    rmSync(link);
    context.skip(process.geteuid!() !== 0, 'only root may give files away');
    writeFileSync(link, '');
    chownSync(link, 65534, 65534);
    expect(plantedMap(directory)).toBe(link);
  });
});

describe('the environment in which V8 writes JIT maps', () => {
  const options = (...command: [string, ...string[]]) => jitMapEnvironment(command, env)?.NODE_OPTIONS;

  test('adds two options of V8 after the existing ones', () => {
    expect(options('node', 'server.js')).toBe('--perf-basic-prof-only-functions --interpreted-frames-native-stack');
    expect(jitMapEnvironment(['node'], { ...env, NODE_OPTIONS: '--interpreted-frames-native-stack -r x' })).toEqual({
      NODE_OPTIONS: '--interpreted-frames-native-stack -r x --perf-basic-prof-only-functions',
    });
  });

  test('is unchanged for other commands, and if V8 writes its code already', () => {
    expect(jitMapEnvironment(['python', 'x.py'], env)).toBeUndefined();
    expect(jitMapEnvironment(['node', '--perf-basic-prof', 'x.js'], env)).toBeUndefined();
    expect(jitMapEnvironment(['node', 'x.js'], { ...env, NODE_OPTIONS: '--perf_prof' })).toBeUndefined();
  });
});
