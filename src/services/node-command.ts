/**
 * Recognizes Node commands, and makes V8 write the names of JIT code.
 *
 *   node server.js   |   /usr/bin/env node …   |   a script that begins with #!…node (npx, npm, programs of packages)
 *
 * Invariant: only the command's file is read, nothing of it is run; if the user already makes V8 write its code,
 * nothing is added and no map is removed.
 */
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { isWritableDirectory } from './output-file.ts';

/**
 * V8 writes the functions it compiles to /tmp/perf-PID.map, and gives each interpreted function a code address of its
 * own. Of the JIT frames of this repository's example, 99.5 % have names with both options, 93 % with the first alone.
 * --perf-basic-prof would name regular expressions too, but it also leaves isolate-*-v8.log in the working directory
 * (Node 20.20), and NODE_OPTIONS takes no --logfile.
 */
const OPTIONS = ['--perf-basic-prof-only-functions', '--interpreted-frames-native-stack'] as const;

/** Options with which V8 writes the names of its code. */
const WRITES_CODE_NAMES = /(?:^|\s)--(?:perf[-_](?:basic[-_])?prof|ll[-_]prof)/;

/**
 * The changed variables with which `command` and the Node programs it starts write JIT maps; undefined if it is not
 * Node or needs no change.
 */
export function jitMapEnvironment(
  command: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv,
): Record<string, string> | undefined {
  const given = env.NODE_OPTIONS ?? '';
  if (WRITES_CODE_NAMES.test([given, ...command].join(' '))) return undefined;
  // V8 aborts a process that cannot create its map.
  if (!isWritableDirectory('/tmp') || !isNode(command, env)) return undefined;
  const added = OPTIONS.filter((option) => !given.split(/\s+/).includes(option));
  return { NODE_OPTIONS: [given, ...added].filter((text) => text !== '').join(' ') };
}

/**
 * A JIT map in /tmp that a Node process with its number could not make itself, or undefined. V8 follows links, and
 * aborts the process if it may not open its map; this Node has no option for another directory.
 */
export function plantedMap(directory = '/tmp'): string | undefined {
  for (const name of namesIn(directory)) {
    const pid = /^perf-(\d+)\.map$/.exec(name)?.[1];
    if (pid === undefined) continue;
    const path = join(directory, name);
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status === undefined || (status.isFile() && status.uid === process.geteuid?.())) continue;
    // The map of another user's living process.
    if (status.isFile() && statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === status.uid) continue;
    return path;
  }
  return undefined;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // V8 may write to a directory that cannot be listed.
  }
}

/** Interpreters of interpreters that are followed. */
const MOST_STEPS = 4;

/** Whether executing the command runs Node. */
export function isNode(command: readonly string[], env: NodeJS.ProcessEnv): boolean {
  let words = command;
  for (let step = 0; step < MOST_STEPS && words[0] !== undefined; step++) {
    const path = pathOf(words[0], env);
    if (path === undefined) return false;
    // The name it is called by counts too: version managers install wrappers under it.
    const names = [basename(path), basename(realPathOf(path))];
    if (names.some((name) => /^node(?:js)?(?:-?\d[\d.]*)?$/.test(name))) return true;
    words = basename(path) === 'env' ? commandOfEnv(words.slice(1)) : interpreterOf(path);
  }
  return false;
}

/** The command in `env [OPTION]… [NAME=VALUE]… COMMAND`. */
function commandOfEnv(words: readonly string[]): readonly string[] {
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === '-u' || word === '--unset' || word === '-C' || word === '--chdir') at++;
    else if (word === '-S' || word === '--split-string')
      return commandOfEnv(words.slice(at + 1).flatMap((text) => text.split(/\s+/)));
    else if (!word.startsWith('-') && !/^\w+=/.test(word)) return words.slice(at);
  }
  return [];
}

/** BINPRM_BUF_SIZE: the kernel reads no more of a script's first line. */
const FIRST_LINE_BYTES = 256;

/** The words after `#!` in a script's first line; none if the file is no script. */
function interpreterOf(path: string): readonly string[] {
  const line = /^#![ \t]*([^\n]*)/.exec(firstBytes(path))?.[1];
  return line === undefined ? [] : line.trim().split(/\s+/).filter(Boolean);
}

function firstBytes(path: string): string {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const bytes = Buffer.alloc(FIRST_LINE_BYTES);
      return bytes.toString('latin1', 0, readSync(descriptor, bytes));
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return ''; // Executable but not readable: not a script.
  }
}

/** The file that the shell would run. */
function pathOf(name: string, env: NodeJS.ProcessEnv): string | undefined {
  if (name.includes('/')) return name;
  const folders = (env.PATH ?? '/usr/bin:/bin').split(delimiter);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // Absent or forbidden.
  }
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // A dangling link: the shell reports it.
  }
}
