/**
 * Errors become one sentence of cause and one of remedy, here and nowhere else.
 * Invariant: every ErrorCode has a remedy (the type sees to it); advice never depends on a message's text.
 */
import { type ErrorCode, RingkeepError } from '../base/error.ts';

/** Exit statuses of the command line. */
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

type Details = RingkeepError['details'];

const PERF_NEEDS = '`sysctl kernel.perf_event_paranoid=2`, and a seccomp profile that permits perf_event_open';

const REMEDIES: Readonly<Record<ErrorCode, (details: Details) => string>> = {
  'bad-size': () => 'Write sizes as 64KiB or 8MiB; a ring must be a power of two from 4KiB to 1GiB.',
  'bad-duration': () => 'Write times as 200ms, 5s or 10us.',
  'bad-argument': () => 'See `ringkeep --help` for what each option takes.',
  'not-a-capture': () => 'Give a file that `ringkeep record` or `perf record` wrote.',
  'damaged-capture': () => 'Look for an undamaged copy; what could be read of this one is nothing.',
  'unsupported-capture': ({ feature }) =>
    feature === 'stat'
      ? 'Read it with `perf stat report`, or record with `ringkeep record` or `perf record`.'
      : 'Record again without that option, or convert the file with `perf inject`.',
  'capture-unreadable': () => "Check the file's name and that you may read it.",
  'no-such-thread': ({ file, tid, process }) =>
    process !== undefined
      ? `Give -t ${tid} for it alone, or -p ${process} for all of its process.`
      : file === undefined
        ? 'See `ps -eLf` for the threads there are.'
        : 'See `ringkeep show FILE` for the threads there are.',
  'already-attached': ({ option }) =>
    `See \`ringkeep status\` for what is attached, or end that with \`ringkeep rm NAME\` first${option === undefined ? '' : `, or give another ${option}`}.`,
  'no-switches': () =>
    'Record one with `perf sched record`, `perf record --switch-events` or `ringkeep record --source perf`.',
  'not-a-ring': () =>
    'Give a ring file as a recorder keeps or left it; `ringkeep recover DIR` saves what can be read of all.',
  'not-a-journal': () => 'Leave it out: rings decode without it, only older names and mappings are missing then.',
  'no-rings': () =>
    'Give the directory of a detached recorder, or what a killed `ringkeep record` left: /dev/shm/ringkeep-PID-….',
  'ring-directory': () =>
    'Make /dev/shm, or another directory named by XDG_RUNTIME_DIR or TMPDIR, writable and free some space in it.',
  'ring-memory': () => 'Free space in /dev/shm, or give a smaller --ring or --keep-dead.',
  'pin-refused': () => 'Raise `ulimit -l`, or give a smaller --ring or fewer --slots.',
  'pin-budget': ({ neededBytes, option = '--pin-budget' }) =>
    `Give ${option} ${Math.ceil(Number(neededBytes) / 1024)}KiB or more, or a smaller --ring.`,
  'perf-refused': ({ errno, tid, source }) =>
    source === 'procfs'
      ? `Let perf in: ${PERF_NEEDS}; then start the recorder anew.`
      : errno === 'EMFILE'
        ? 'Raise `ulimit -n` (its hard limit, and start the recorder anew), or start it as root.'
        : tid !== undefined
          ? 'Attach to processes of your own user, or have root run `ringkeep up`.'
          : `Use --source procfs or auto, or let perf in: ${PERF_NEEDS}.`,
  'procfs-refused': () => 'Mount /proc without hidepid, or run as the same user.',
  'unknown-event': () =>
    'Check its spelling with `perf list`; tracepoints need `mount -t tracefs nodev /sys/kernel/tracing` and the right to read it.',
  'command-not-found': ({ command }) => `Check the spelling, PATH and the permissions of ${command}.`,
  'command-not-started': () => 'Raise the limits on processes and descriptors (`ulimit -u`, `ulimit -n`).',
  'output-unwritable': ({ option = '-o', input }) =>
    input === undefined
      ? `Give ${option} a file in a directory that you may write to and that has room.`
      : `Give ${option} another file.`,
  'snapshot-directory': () =>
    'Give --dir, or `ringkeep up --snapshots`, a directory of your own that nobody else may write to and that has room.',
  'psi-absent': () =>
    'Boot a kernel of 5.2 or later with psi=1 on its command line (CONFIG_PSI), or trigger on something else.',
  'psi-refused': () =>
    'Give a window that is a multiple of 2s, as Linux 6.4 and later grant to everybody, or CAP_SYS_RESOURCE to the recorder; /proc/pressure must be writable.',
  'runtime-directory': ({ pid }) =>
    pid !== undefined
      ? `End it with \`kill ${pid}\` (with \`kill -9 ${pid}\` its rings stay, and \`ringkeep up\` goes on in them), or name a directory of your own by RINGKEEP_DIR.`
      : 'Remove what is in the way, or name a directory of your own by RINGKEEP_DIR, for `ringkeep up` and for all that talk to it.',
  'no-daemon': () => 'Start it with `ringkeep up`.',
  'not-yours': () => 'Ask as the user who started it or as root, or start your own with `ringkeep up`.',
  'no-such-event': () => 'See `ringkeep events` and `ringkeep status` for what there is.',
  'no-such-trigger': () => 'See `ringkeep trigger ls` for the triggers there are.',
  'no-such-route': () => 'Start the recorder anew with this version: `ringkeep down`, then `ringkeep up`.',
  'daemon-failed': ({ log }) => `Read ${log} for its last words, or run \`ringkeep up --foreground\` to watch it.`,
  'daemon-answer': () =>
    'See with `ringkeep status` whether it still runs; if not, `ringkeep up` goes on with the rings that it left.',
  'daemon-unresponsive': () =>
    'Wait and ask again, or end it with SIGKILL: `ringkeep up` then goes on with the rings that it left.',
  syscall: ({ errno }) =>
    errno === 'EMFILE' || errno === 'ENFILE' ? 'Raise `ulimit -n`.' : 'Report it with the command line and `uname -a`.',
};

/** Two sentences for whoever reads the terminal. A bug is no operating failure and keeps its stack. */
export function explain(error: unknown): string {
  const failure = operatingFailureOf(error);
  if (failure) return `${sentence(failure)}\n${REMEDIES[failure.code](failure.details)}`;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `ringkeep broke down, which is a bug: ${stack}\nReport it with the command line and \`ringkeep --version\`.`;
}

/** Undefined: it is a bug. */
export function operatingFailureOf(error: unknown): RingkeepError | undefined {
  return error instanceof RingkeepError ? error : refusedToNode(error);
}

/** What the system refused Node itself, as it refuses descriptors for the modules that are loaded late, is no bug of ours. */
function refusedToNode(error: unknown): RingkeepError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall = 'open' } = error as NodeJS.ErrnoException;
  if (code !== 'EMFILE' && code !== 'ENFILE' && code !== 'ENOMEM') return undefined;
  return new RingkeepError('syscall', `${syscall} failed: ${code}`, { call: syscall, errno: code }, { cause: error });
}

/** The exit status for an error: what the command line got wrong, or what its surroundings refused. */
export function exitStatusOf(error: unknown): number {
  const usage: readonly ErrorCode[] = ['bad-size', 'bad-duration', 'bad-argument', 'pin-budget', 'unknown-event'];
  return error instanceof RingkeepError && usage.includes(error.code) ? EXIT_USAGE : EXIT_FAILURE;
}

/** What a sentence begins with as it was given, a path or a name, keeps its letters. */
function sentence({ message, details }: RingkeepError): string {
  const isGiven = /^\S*\//.test(message) || Object.values(details).some((value) => message.startsWith(`${value} `));
  const text = isGiven ? message : message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
