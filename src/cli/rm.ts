/**
 * `ringkeep rm`: ends events. An event is its file, so that one goes without a daemon too.
 * Invariant: without a daemon nothing is removed but a regular file three levels below the directory of the event files.
 */
import { lstatSync, realpathSync, unlinkSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import type { RuntimeDirectory } from '../daemon/runtime-directory.ts';
import { ownDaemon, ownRuntimeDirectory } from './daemon-access.ts';

export function addRmCommand(program: Command): void {
  program
    .command('rm')
    .description('End events: an attachment with all its events by its name, or one event by its path.')
    .argument('<event...>', 'as `ringkeep status` and `ringkeep events` print them')
    .action(async (names: string[]) => {
      for (const name of names) await removeOne(name);
    });
}

/** Throws `no-such-event`, and `no-daemon` for an attachment. */
async function removeOne(name: string): Promise<void> {
  const isFile = name.includes('/');
  try {
    const daemon = ownDaemon();
    if (isFile) await daemon.removeEvent(name);
    else await daemon.detach(name);
  } catch (error) {
    if (!isFile || !(error instanceof RingkeepError) || error.code !== 'no-daemon') throw error;
    removeFile(name, ownRuntimeDirectory());
  }
}

function removeFile(name: string, { events }: RuntimeDirectory): void {
  const missing = new RingkeepError('no-such-event', `there is no event ${name}`, { path: name });
  let directory: string;
  try {
    directory = realpathSync(events);
  } catch {
    throw missing; // Without a directory there are no events.
  }
  const path = name.startsWith('/') ? resolve(name) : join(directory, name);
  const parts = relative(directory, path).split(sep);
  if (parts.length !== 3 || parts[0] === '..') throw missing;
  // A link on the way would lead out of the directory.
  const isOurs = parts.every((_, index) => {
    const stats = lstatSync(join(directory, ...parts.slice(0, index + 1)), { throwIfNoEntry: false });
    return index === parts.length - 1 ? stats?.isFile() : stats?.isDirectory();
  });
  if (!isOurs) throw missing;
  unlinkSync(path);
}
