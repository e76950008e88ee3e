/** `ringkeep show`: prints a capture's post-mortem as text or JSON. */
import type { Command } from 'commander';
import { jsonText, printPainted } from './printing.ts';
import { addSelectionOptions, noSuchThread, parseSelection, type SelectionOptions } from './selection-options.ts';
import { terminalStyle } from './terminal.ts';

interface ShowOptions extends SelectionOptions {
  all?: boolean;
  tree?: boolean;
  json?: boolean;
}

/** Adds `show` to the program. Its action throws RingkeepError for what cannot be read or is not there. */
export function addShowCommand(program: Command): void {
  const show = program
    .command('show')
    .summary('Print the post-mortem of a capture.')
    .description(
      'Print what every thread was doing just before the end: the death, and each thread’s state, on-CPU and off-CPU ' +
        'time and last stacks. Read a ringkeep snapshot, any perf.data file, an event file (the ring of one thread) or a ' +
        'directory of event files.\n' +
        'SLEPT is time blocked, WAITED is time runnable without a CPU, ? is not known. Function names come from the ' +
        'capture, else from the files, kernel and JIT maps of this machine, if they match the recorded ones.',
    )
    .argument('<file>', 'a perf.data file, an event file, or a recorder’s directory');
  addSelectionOptions(show)
    .option('--all', 'show every thread, frame and branch')
    .option('--tree', 'print call trees of the samples instead, as in a flame graph; with --json, in addition')
    .option('--json', 'print JSON: times are decimal strings, durations are nanoseconds, null is unknown')
    .action(async (file: string, options: ShowOptions) => {
      printPainted(await showCapture(file, options));
    });
}

async function showCapture(file: string, options: ShowOptions): Promise<string> {
  const selection = parseSelection(options);
  // Loaded here: other commands do not need the capture reader.
  const { withCaptureOrRings } = await import('../services/ring-capture.ts');
  const { symbolsOf } = await import('../services/capture-symbols.ts');
  const { postMortem } = await import('../post-mortem/post-mortem.ts');
  const { callTrees } = await import('../export/call-tree.ts');
  const { functionNames } = await import('../export/frame-names.ts');
  const { report, trees } = withCaptureOrRings(file, (capture, only) => {
    const symbols = symbolsOf(capture);
    const selected = { ...only, ...selection };
    return {
      report: postMortem(capture, { ...selected, namer: () => symbols }),
      trees: options.tree ? callTrees(capture, functionNames(symbols), selected) : undefined,
    };
  });
  if (report.threads.length === 0 && Object.keys(selection).length > 0) throw noSuchThread(file, options);
  if (options.json) return `${jsonText({ ...report, ...(trees ? { trees } : {}) })}\n`;
  const style = terminalStyle(process.stdout, process.env);
  if (trees) {
    const { formatCallTrees } = await import('./call-tree-text.ts');
    return formatCallTrees(trees, { ...style, showAll: options.all === true });
  }
  const { formatPostMortem } = await import('./post-mortem-text.ts');
  return formatPostMortem(report, { ...style, showAll: options.all === true || selection.tid !== undefined });
}
