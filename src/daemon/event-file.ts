/**
 * Paths of event files as users give them, and the removal of an event without a daemon.
 * Invariant: only a regular file three levels below the directory of the event files is removed.
 */
import { lstatSync, realpathSync, unlinkSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import type { RuntimeDirectory } from './runtime-directory.ts';

/**
 * An event's path relative to the directory of the event files (`events` in the runtime directory may be a link to it);
 * undefined for a path outside it or one that does not exist.
 */
export function relativeEventPath(name: string, { events }: RuntimeDirectory): string | undefined {
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

/** Throws `no-such-event`. */
export function removeEventFile(name: string, runtime: RuntimeDirectory): void {
  const path = relativeEventPath(name, runtime);
  if (path === undefined) throw noSuchEvent(name);
  const directory = realpathSync(runtime.events);
  const parts = path.split(sep);
  // A symbolic link in the path could lead out of the directory.
  const isEvent = parts.every((_, index) => {
    const stats = lstatSync(join(directory, ...parts.slice(0, index + 1)), { throwIfNoEntry: false });
    return index === parts.length - 1 ? stats?.isFile() : stats?.isDirectory();
  });
  if (!isEvent) throw noSuchEvent(name);
  unlinkSync(join(directory, path));
}

export function noSuchEvent(name: string): RingkeepError {
  return new RingkeepError('no-such-event', `there is no event ${name}`, { path: name });
}
