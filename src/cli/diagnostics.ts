/**
 * Turns errors into one sentence of cause and one of remedy. No other file gives advice.
 * Invariant: every ErrorCode has a remedy (the type requires it); advice never depends on a message's text.
 */
import { type ErrorCode, RingkeepError } from '../base/error.ts';
import { operatingFailureOf } from '../services/failure.ts';
import { printable } from './terminal.ts';

/** Exit statuses of the command line. */
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

type Details = RingkeepError['details'];

const PERF_NEEDS = '`sysctl kernel.perf_event_paranoid=2` and a seccomp profile that permits perf_event_open';

const REMEDIES: Readonly<Record<ErrorCode, (details: Details) => string>> = {
  'bad-size': () => 'Write sizes as 64KiB or 8MiB; a ring must be a power of two from 4KiB to 1GiB.',
  'bad-duration': () => 'Write times as 200ms, 5s or 10us.',
  'bad-argument': () => 'See `ringkeep COMMAND --help` for the arguments of each option.',
  'not-a-capture': ({ kind, command }) => {
    if (command !== undefined) return `Unpack it with \`${command}\`, and give the capture in it.`;
    if (kind === 'core') return 'Read it with `gdb` or `coredumpctl`, and give the capture of that time.';
    if (kind === 'pipe-header') return 'Record again, and see what the recorder reports.';
    return 'Give a file that `ringkeep record` or `perf record` wrote.';
  },
  'damaged-capture': () => 'Use an undamaged copy; nothing in this one can be read.',
  'unsupported-capture': ({ feature }) => {
    if (feature === 'stat')
      return 'Read it with `perf stat report`, or record with `ringkeep record` or `perf record`.';
    if (feature === 'oldFormat') return 'Convert it with `perf inject -i FILE -o NEW`.';
    if (feature === 'bigEndian') return 'Read it with `perf`.';
    return 'Record again without that option.';
  },
  'capture-unreadable': () => "Check the file's name and that you have permission to read it.",
  'no-such-thread': ({ file, tid, process }) =>
    process !== undefined
      ? `Use -t ${tid} for this thread alone, or -p ${process} for its whole process.`
      : file === undefined
        ? 'List the threads of the machine with `ps -eLf`, or the recorded ones with `ringkeep events`.'
        : 'List the threads of the capture with `ringkeep show FILE`.',
  'already-attached': ({ option }) =>
    `List the attachments with \`ringkeep status\`, and end this one with \`ringkeep rm NAME\`${option === undefined ? '' : ` or use another ${option}`}.`,
  'no-switches': ({ lack }) =>
    lack === 'cpu'
      ? 'Record the CPU too: `perf record --switch-events` with -a or --sample-cpu.'
      : 'Record with `perf sched record`, `perf record --switch-events -a` or `ringkeep record --source perf`.',
  'not-a-ring': () =>
    'Use a ring file of a running or killed recorder; `ringkeep recover DIR -o FILE` saves every readable ring of a directory.',
  'not-a-journal': () => 'Remove it: rings decode without it, but older thread names and mappings are then missing.',
  'no-rings': () =>
    'Use the directory of a detached recorder, or one left by a killed `ringkeep record`: /dev/shm/ringkeep-PID-….',
  'ring-directory': () =>
    'Make /dev/shm, or the directory in XDG_RUNTIME_DIR or TMPDIR, writable and free space in it.',
  'ring-memory': () => 'Free space in /dev/shm, or use a smaller --ring or --keep-dead.',
  'pin-refused': () => 'Raise `ulimit -l`, or use a smaller --ring or fewer --slots.',
  'pin-budget': ({ neededBytes, option = '--pin-budget' }) =>
    `Use ${option} ${Math.ceil(Number(neededBytes) / 1024)}KiB or more, or a smaller --ring.`,
  'perf-refused': ({ errno, tid, source }) =>
    source === 'procfs'
      ? `Permit perf (${PERF_NEEDS}) and restart the recorder.`
      : errno === 'EMFILE'
        ? 'Raise the hard limit of `ulimit -n` and restart the recorder, or run it as root.'
        : tid !== undefined
          ? 'Attach to processes of your own user, or run `ringkeep up` as root.'
          : `Use --source procfs or auto, or permit perf: ${PERF_NEEDS}.`,
  'procfs-refused': () => 'Mount /proc without hidepid, or run as the user of the process.',
  'unknown-event': () =>
    'Check its spelling with `perf list`; tracepoints need `mount -t tracefs nodev /sys/kernel/tracing` and permission to read it.',
  'command-not-found': ({ command }) => `Check the spelling, PATH and the permissions of ${command}.`,
  'command-not-started': () => 'Raise the limits on processes and descriptors (`ulimit -u`, `ulimit -n`).',
  'output-unwritable': ({ option = '-o', input }) =>
    input === undefined
      ? `Use ${option} with a file in a writable directory that has free space.`
      : `Use ${option} with another file.`,
  'snapshot-directory': () =>
    'Use --dir, or `ringkeep up --snapshots`, with a directory that you own, that no other user can write to and that has free space.',
  'psi-absent': () =>
    'Boot Linux 5.2 or later with CONFIG_PSI and psi=1 on the kernel command line, or use another trigger.',
  'psi-refused': () =>
    'Use a window that is a multiple of 2s (Linux 6.4 and later permit it to every user), or run the recorder with CAP_SYS_RESOURCE and a writable /proc/pressure.',
  'runtime-directory': ({ pid }) =>
    pid !== undefined
      ? `Stop it with \`kill ${pid}\` (after \`kill -9 ${pid}\`, \`ringkeep up\` adopts its rings), or set RINGKEEP_DIR to another directory.`
      : 'Remove the obstacle, or set RINGKEEP_DIR to another directory for `ringkeep up` and all its clients.',
  'no-daemon': () => 'Start it with `ringkeep up`.',
  'not-yours': () => 'Run the command as that user or as root, or start your own recorder with `ringkeep up`.',
  'no-such-event': () => 'List events with `ringkeep events` and attachments with `ringkeep status`.',
  'no-such-trigger': () => 'List the triggers with `ringkeep trigger ls`.',
  'no-such-route': () => 'Restart the recorder with this version: `ringkeep down`, then `ringkeep up`.',
  'daemon-failed': ({ log }) => `See ${log} for the reason, or run \`ringkeep up --foreground\`.`,
  'daemon-answer': () =>
    'Check with `ringkeep status` whether it still runs; if not, `ringkeep up` adopts the rings it left.',
  'daemon-unresponsive': () =>
    'Wait and try again, or stop it with SIGKILL: the next `ringkeep up` adopts the rings it left.',
  syscall: ({ errno }) =>
    errno === 'EMFILE' || errno === 'ENFILE' ? 'Raise `ulimit -n`.' : 'Report it with the command line and `uname -a`.',
};

/** Cause and remedy, a line each. A bug is no operating failure and keeps its stack. */
export function explain(error: unknown): string {
  const failure = operatingFailureOf(error);
  if (failure) return `${printable(sentence(failure))}\n${printable(REMEDIES[failure.code](failure.details))}`;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `ringkeep failed because of a bug: ${stack}\nReport it with the command line and \`ringkeep --version\`.`;
}

/** The exit status for an error: wrong usage, or an operating failure. */
export function exitStatusOf(error: unknown): number {
  const usage: readonly ErrorCode[] = ['bad-size', 'bad-duration', 'bad-argument', 'pin-budget', 'unknown-event'];
  return error instanceof RingkeepError && usage.includes(error.code) ? EXIT_USAGE : EXIT_FAILURE;
}

/** Capitalizes the message, unless it begins with a path or a name from the details. */
function sentence({ message, details }: RingkeepError): string {
  const isGiven = /^\S*\//.test(message) || Object.values(details).some((value) => message.startsWith(`${value} `));
  const text = isGiven ? message : message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
