/** The symbolizing processes of a recorder. */
import { readdirSync, readFileSync } from 'node:fs';

/** Processes started by `pid` that symbolize snapshots. */
export function ownChildren(pid: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((id) => {
      try {
        const parent = Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${id}/status`, 'latin1'))?.[1]);
        return (
          parent === pid && readFileSync(`/proc/${id}/cmdline`, 'latin1').includes('/dist/bin/symbolize-process.js')
        );
      } catch {
        return false;
      }
    });
}
