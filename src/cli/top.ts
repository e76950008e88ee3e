/**
 * `ringkeep top`: the status of the detached recorder, live; one frame if the output is no terminal.
 * Invariant: the terminal's modes are restored, however the command ends.
 */
import type { Command } from 'commander';
import type { DaemonClient } from '../daemon/client.ts';
import { ownDaemon } from './daemon-access.ts';
import { drawFrame, enterScreen, leaveScreen, printPainted } from './printing.ts';
import { terminalStyle } from './terminal.ts';
import { renderTop, type ScreenStyle } from './top-screen.ts';

const REDRAW_MS = 1000;
/** For a terminal that reports no size, such as a serial one. */
const UNKNOWN_HEIGHT = 24;
/** In raw mode ^C arrives as a character, not as SIGINT. */
const LEAVE_KEYS = ['q', 'Q', '\x03'];
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function addTopCommand(program: Command): void {
  program
    .command('top')
    .description('Show the detached recorder live: resource use, pinned threads per slot, losses. q quits.')
    .action(async () => {
      const daemon = ownDaemon();
      if (process.stdout.isTTY) await showLive(daemon);
      else printPainted(`${(await frame(daemon, Number.POSITIVE_INFINITY)).join('\n')}\n`);
    });
}

async function frame(daemon: DaemonClient, height: number): Promise<string[]> {
  const style: ScreenStyle = { ...terminalStyle(process.stdout, process.env), height };
  return renderTop(await daemon.status(), style, Date.now());
}

async function showLive(daemon: DaemonClient): Promise<void> {
  const leave = new Leave();
  enterScreen();
  try {
    while (!leave.isWanted) {
      drawFrame(await frame(daemon, process.stdout.rows || UNKNOWN_HEIGHT));
      await leave.wantedWithin(REDRAW_MS);
    }
  } finally {
    leaveScreen();
    leave.close();
  }
}

/** Waits for a key, a signal or a resize of the terminal. */
class Leave {
  isWanted = false;
  #wake: () => void = () => undefined;

  constructor() {
    const { stdin } = process;
    if (stdin.isTTY) stdin.setRawMode(true);
    stdin.on('data', this.#onKey).resume();
    for (const signal of SIGNALS) process.on(signal, this.#want);
    process.stdout.on('resize', this.#redraw);
  }

  #want = (): void => {
    this.isWanted = true;
    this.#wake();
  };

  #redraw = (): void => this.#wake();

  #onKey = (bytes: Buffer): void => {
    const text = bytes.toString('latin1');
    if (LEAVE_KEYS.some((key) => text.includes(key))) this.#want();
  };

  wantedWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.isWanted) {
        resolve();
        return;
      }
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    const { stdin } = process;
    stdin.off('data', this.#onKey).pause();
    if (stdin.isTTY) stdin.setRawMode(false);
    for (const signal of SIGNALS) process.off(signal, this.#want);
    process.stdout.off('resize', this.#redraw);
  }
}
