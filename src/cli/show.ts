/** `ringkeep show`: a capture's post-mortem, as text or as JSON. Nothing here but options, the file and the printing. */
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { compileGlob } from '../base/glob.ts';
import { parseDurationNs } from '../base/units.ts';
import { terminalStyle } from './terminal.ts';

interface ShowOptions {
  tid?: string;
  comm?: string;
  last?: string;
  all?: boolean;
  json?: boolean;
}

/** Adds `show` to the program. Its action throws RingkeepError for what cannot be read or is not there. */
export function addShowCommand(program: Command): void {
  program
    .command('show')
    .summary('print the post-mortem of a capture')
    .description(
      'What every thread was doing just before: the death, each thread’s state, on-CPU and off-CPU time and last stacks.\n' +
        'Reads ringkeep snapshots and any perf.data file, an event file (the ring of one thread), and a directory of such.\n' +
        'SLEPT is off-CPU by choice, WAITED is runnable without a CPU. Names come from this machine’s files, kernel and JIT maps,\n' +
        'as far as they are those that were recorded.',
    )
    .argument('<file>', 'a perf.data file, an event file, or a recorder’s directory')
    .option('-t, --tid <tid>', 'only this thread')
    .option('--comm <glob>', 'only threads with such a name (nginx*, worker-?)')
    .option('--last <duration>', 'count only the last part before the death, or before the end (10ms, 2s)')
    .option('--all', 'every thread and every frame')
    .option('--json', 'the post-mortem as JSON: times are decimal text, durations nanoseconds, null is unknown')
    .action(async (file: string, options: ShowOptions) => {
      process.stdout.write(await showCapture(file, options));
    });
}

async function showCapture(file: string, options: ShowOptions): Promise<string> {
  const { comm } = options;
  const tid = options.tid === undefined ? undefined : parseTid(options.tid);
  const lastNs = options.last === undefined ? undefined : parseDurationNs(options.last);
  // Loaded only now: `record` need not pay for what reads captures.
  const { readPostMortem } = await import('./ring-capture.ts');
  const { formatPostMortem } = await import('./post-mortem-text.ts');
  const { symbolsOf } = await import('./capture-symbols.ts');
  const report = readPostMortem(file, {
    namer: symbolsOf,
    ...(tid === undefined ? {} : { tid }),
    ...(comm === undefined ? {} : { comm: compileGlob(comm) }),
    ...(lastNs === undefined ? {} : { lastNs }),
  });
  if (tid !== undefined && report.threads.length === 0)
    throw new RingkeepError('no-such-thread', `the capture has no thread ${tid}`, { tid, file });
  if (comm !== undefined && report.threads.length === 0)
    throw new RingkeepError('no-such-thread', `the capture has no thread named ${comm}`, { comm, file });
  if (options.json) return `${JSON.stringify(report)}\n`;
  const style = terminalStyle(process.stdout, process.env);
  return formatPostMortem(report, { ...style, showAll: options.all === true || tid !== undefined });
}

const TID_LIMIT = 2 ** 22;

function parseTid(text: string): number {
  const tid = Number(text);
  if (!/^\d+$/.test(text) || tid === 0 || tid > TID_LIMIT)
    throw new RingkeepError('bad-argument', `"${text}" is not a thread id`, { argument: '--tid', text });
  return tid;
}
