/**
 * `ringkeep rm`: ends events. An event is its file, so an event left by a killed daemon can be removed too.
 * Invariant: without a daemon, only a regular file three levels below the directory of the event files is removed.
 */
import { lstatSync, realpathSync, unlinkSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import type { RuntimeDirectory } from '../daemon/runtime-directory.ts';
import { ownDaemon, ownRuntimeDirectory } from './daemon-access.ts';

export function addRmCommand(program: Command): void {
  program
    .command('rm')
    .description('End an attachment and all its events, given its name, or one event, given its path.')
    .argument('<event...>', 'a name from `ringkeep status` or a path from `ringkeep events`')
    .action(async (names: string[]) => {
      for (const name of names) await removeOne(name);
    });
}

/** Throws `no-such-event`, and `no-daemon` for an attachment. */
async function removeOne(name: string): Promise<void> {
  const isFile = name.includes('/');
  try {
    const daemon = ownDaemon();
    if (isFile) await daemon.removeEvent(shortPath(name, ownRuntimeDirectory()) ?? name);
    else await daemon.detach(name);
  } catch (error) {
    if (!isFile || !(error instanceof RingkeepError)) throw error;
    // The error names the event as given.
    if (error.code === 'no-such-event') throw noSuchEvent(name);
    if (error.code !== 'no-daemon') throw error;
    removeFile(name, ownRuntimeDirectory());
  }
}

/**
 * An event's path relative to the directory of the event files (`events` in the runtime directory may be a link to it);
 * undefined for a path outside it or one that does not exist.
 */
function shortPath(name: string, { events }: RuntimeDirectory): string | undefined {
  let path: string;
  try {
    const directory = realpathSync(events);
    const whole = isAbsolute(name) ? join(realpathSync(dirname(name)), basename(name)) : join(directory, name);
    path = relative(directory, whole);
  } catch {
    return undefined;
  }
  const parts = path.split(sep);
  return parts.length === 3 && parts[0] !== '..' ? path : undefined;
}

function noSuchEvent(name: string): RingkeepError {
  return new RingkeepError('no-such-event', `there is no event ${name}`, { path: name });
}

function removeFile(name: string, runtime: RuntimeDirectory): void {
  const short = shortPath(name, runtime);
  if (short === undefined) throw noSuchEvent(name);
  const directory = realpathSync(runtime.events);
  const parts = short.split(sep);
  // A symbolic link in the path could lead out of the directory.
  const isOurs = parts.every((_, index) => {
    const stats = lstatSync(join(directory, ...parts.slice(0, index + 1)), { throwIfNoEntry: false });
    return index === parts.length - 1 ? stats?.isFile() : stats?.isDirectory();
  });
  if (!isOurs) throw noSuchEvent(name);
  unlinkSync(join(directory, short));
}
