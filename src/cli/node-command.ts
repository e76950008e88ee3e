/**
 * Whether a command is Node, and what makes its JIT compiler tell the names of its code.
 *
 *   node server.js   |   /usr/bin/env node …   |   a script that begins with #!…node (npx, npm, what packages install)
 *
 * Invariant: a command is asked by its file alone, nothing of it is run; where the user has asked V8 for its code himself, nothing is
 * added and nothing of his is cleared away.
 */
import { accessSync, closeSync, constants, openSync, readSync, realpathSync, statSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';

/**
 * V8 writes the functions it compiles into /tmp/perf-PID.map, and gives each function that it interprets a place of its own in
 * memory: of the frames that no file names in the example of this repository, 99.5 % have names by both, 93 % by the first alone.
 */
const OPTIONS = ['--perf-basic-prof-only-functions', '--interpreted-frames-native-stack'] as const;

/** Options by which V8 writes of its code. */
const WRITES_OF_ITS_CODE = /(?:^|\s)--(?:perf[-_](?:basic[-_])?prof|ll[-_]prof)/;

/**
 * The environment in which `command` and the Node programs that it starts write down the names of their code; undefined when it is
 * not Node, or there is nothing to add.
 */
export function namingEnvironment(
  command: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv | undefined {
  const given = env.NODE_OPTIONS ?? '';
  if (WRITES_OF_ITS_CODE.test([given, ...command].join(' '))) return undefined;
  // V8 ends a process that cannot make its map.
  if (!isWritableDirectory('/tmp') || !isNode(command, env)) return undefined;
  const added = OPTIONS.filter((option) => !given.split(/\s+/).includes(option));
  return { ...env, NODE_OPTIONS: [given, ...added].filter((text) => text !== '').join(' ') };
}

/** Of one script that runs another: further than this nobody goes. */
const MOST_STEPS = 4;

/** Whether it is Node that runs when the command is executed. */
export function isNode(command: readonly string[], env: NodeJS.ProcessEnv): boolean {
  let words = command;
  for (let step = 0; step < MOST_STEPS && words[0] !== undefined; step++) {
    const path = pathOf(words[0], env);
    if (path === undefined) return false;
    // By the name it is called by, too: version managers put programs of their own under it.
    const names = [basename(path), basename(realPathOf(path))];
    if (names.some((name) => /^node(?:js)?(?:-?\d[\d.]*)?$/.test(name))) return true;
    words = basename(path) === 'env' ? behindEnv(words.slice(1)) : interpreterOf(path);
  }
  return false;
}

/** The command in `env [OPTION]… [NAME=VALUE]… COMMAND`. */
function behindEnv(words: readonly string[]): readonly string[] {
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === '-u' || word === '--unset' || word === '-C' || word === '--chdir') at++;
    else if (word === '-S' || word === '--split-string')
      return behindEnv(words.slice(at + 1).flatMap((text) => text.split(/\s+/)));
    else if (!word.startsWith('-') && !/^\w+=/.test(word)) return words.slice(at);
  }
  return [];
}

/** As BINPRM_BUF_SIZE: the kernel reads no more of a script's first line. */
const FIRST_LINE_BYTES = 256;

/** The words of a script's first line behind `#!`; none for what is no script. */
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
    return ''; // It may be run without being read: then it is no script.
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
    return false; // Absent or forbidden: not there for us, whichever it is.
  }
}

function isWritableDirectory(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false; // As above.
  }
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // A link that leads nowhere: the shell will say so.
  }
}
