/**
 * The map that a JIT compiler left for a process. Invariant: it is believed only when nobody but root, this user or the
 * owner of the process can have written it: everybody may make files in /tmp.
 */
import { type Stats, statSync } from 'node:fs';
import { attempt, readText } from './local-file.ts';

/** A map that is longer is cut short by nobody, so it is not read. */
const MAX_BYTES = 512 * 1024 ** 2;

/** The text of the map; `not-trusted` when it is somebody else's, undefined when there is none. */
export function jitMapText(pid: number): string | 'not-trusted' | undefined {
  let isForeign = false;
  const text = readText(`/tmp/perf-${pid}.map`, MAX_BYTES, (status) => {
    isForeign = !isTrusted(status, pid);
    return !isForeign;
  });
  return isForeign ? 'not-trusted' : text;
}

function isTrusted({ uid }: Stats, pid: number): boolean {
  return uid === 0 || uid === process.geteuid?.() || uid === attempt(() => statSync(`/proc/${pid}`).uid);
}
