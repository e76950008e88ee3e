/** A process that waits at a gate, as both gates give it out. */
import type { ExitStatus } from './process-exit.ts';

/** How a command ended; `refused`: the errno with which exec failed, if it never ran. */
export interface CommandEnd extends ExitStatus {
  readonly refused?: string;
}

export interface GatedCommand {
  readonly pid: number;
  /** Lets it exec the command. */
  readonly open: () => void;
  readonly ended: Promise<CommandEnd>;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** What the command gets that differs from what it would get without us, a sentence each. */
  readonly degraded: readonly string[];
}
