/** `ringkeep rm`: ends events. An event is its file, so an event left by a killed daemon can be removed too. */
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { noSuchEvent, relativeEventPath, removeEventFile } from '../daemon/event-file.ts';
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
    if (isFile) await daemon.removeEvent(relativeEventPath(name, ownRuntimeDirectory()) ?? name);
    else await daemon.detach(name);
  } catch (error) {
    if (!isFile || !(error instanceof RingkeepError)) throw error;
    // The error names the event as given.
    if (error.code === 'no-such-event') throw noSuchEvent(name);
    if (error.code !== 'no-daemon') throw error;
    removeEventFile(name, ownRuntimeDirectory());
  }
}
