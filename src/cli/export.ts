/**
 * `ringkeep export`: a capture as the file of another viewer. Nothing here but options, the two files and the progress.
 */
import { statSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { formatSize } from '../base/units.ts';
import { clearProgress, print, showProgress } from './printing.ts';
import { addSelectionOptions, noSuchThread, parseSelection, type SelectionOptions } from './selection-options.ts';
import { printable } from './terminal.ts';

/** The formats of src/export/formats.ts, which --help does not load. */
const FORMATS = 'perfetto, pprof, speedscope, firefox or collapsed';

interface ExportCommandOptions extends SelectionOptions {
  to: string;
  output: string;
}

/**
 * Adds `export`. Its action throws RingkeepError: `bad-argument`, `output-unwritable`, and what reading a capture
 * throws.
 */
export function addExportCommand(program: Command): void {
  const command = program
    .command('export')
    .summary('Convert a capture for another viewer.')
    .description(
      'Write a capture (a ringkeep snapshot or any perf.data file) in the format of another viewer: threads, samples ' +
        'with stacks, on-CPU, runnable and sleeping times, and losses, as far as the format can represent them ' +
        '(docs/EXPORT.md). Times are those of the capture.',
    )
    .argument('<file>', 'a perf.data file, an event file, or a recorder’s directory')
    .requiredOption('--to <format>', FORMATS)
    .requiredOption('-o, --output <file>', 'output file');
  addSelectionOptions(command).action(async (file: string, options: ExportCommandOptions) => {
    await exportCapture(file, options);
  });
}

async function exportCapture(file: string, given: ExportCommandOptions): Promise<void> {
  const { to, output } = given;
  const asked = parseSelection(given);
  const { FORMATS: formats, FORMAT_NAMES } = await import('../export/formats.ts');
  const name = FORMAT_NAMES.find((each) => each === to);
  if (name === undefined)
    throw new RingkeepError('bad-argument', `unknown format "${to}"; expected ${FORMATS}`, {
      argument: '--to',
      text: to,
    });
  const { withCaptureOrRings } = await import('../services/ring-capture.ts');
  const { SelectedPart } = await import('../perf-data/selection.ts');
  const { functionNames } = await import('../export/frame-names.ts');
  const { symbolsOf } = await import('../services/capture-symbols.ts');
  const { refuseToReplace } = await import('../services/output-file.ts');
  const { ReplacingFile } = await import('../snapshot/replacing-file.ts');
  const { write, isGzipped, viewer } = formats[name];
  withCaptureOrRings(file, (capture, only, files) => {
    const selection = { ...only, ...asked };
    const isNarrowed = Object.keys(asked).length > 0;
    if (isNarrowed && new SelectedPart(capture, selection).threads.length === 0) throw noSuchThread(file, given);
    refuseToReplace(files, output);
    const out = new ReplacingFile(output);
    const progress = new Progress(capture.recordCount);
    try {
      const options = {
        selection,
        names: functionNames(symbolsOf(capture)),
        progress: (records: number) => progress.show(records),
      };
      for (const chunk of write(capture, options)) out.write(isGzipped ? gzipSync(chunk) : chunk);
      out.commit();
    } finally {
      progress.clear();
      out.dispose();
    }
  });
  const size = formatSize(statSync(output).size);
  print(`ringkeep: saved: ${printable(output)} (${size}) — open it in ${viewer.replace('FILE', printable(output))}\n`);
}

/** Progress on standard error, if that is a terminal. */
class Progress {
  readonly #records: number;
  #percent = -1;

  constructor(records: number) {
    this.#records = records;
  }

  show(records: number): void {
    const percent = Math.floor((100 * records) / Math.max(1, this.#records));
    if (process.stderr.isTTY !== true || percent === this.#percent) return;
    this.#percent = percent;
    showProgress(`ringkeep: exporting, ${percent} %`);
  }

  clear(): void {
    if (this.#percent >= 0) clearProgress();
  }
}
