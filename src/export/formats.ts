/** Every format that a capture is exported to, by the name it has on the command line. */
import { exportCollapsed } from './collapsed.ts';
import type { Exporter } from './exporter.ts';
import { exportFirefox } from './firefox.ts';
import { exportPerfetto } from './perfetto.ts';
import { exportPprof } from './pprof.ts';
import { exportSpeedscope } from './speedscope.ts';

export interface Format {
  readonly write: Exporter;
  /** Whether the file is compressed: readers of pprof expect it. */
  readonly isGzipped: boolean;
  /** Where the file opens. */
  readonly viewer: string;
}

export const FORMATS = {
  perfetto: { write: exportPerfetto, isGzipped: false, viewer: 'https://ui.perfetto.dev' },
  pprof: { write: exportPprof, isGzipped: true, viewer: '`go tool pprof FILE`' },
  speedscope: { write: exportSpeedscope, isGzipped: false, viewer: 'https://www.speedscope.app' },
  firefox: { write: exportFirefox, isGzipped: false, viewer: 'https://profiler.firefox.com' },
  collapsed: { write: exportCollapsed, isGzipped: false, viewer: '`flamegraph.pl FILE`' },
} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof FORMATS;

export const FORMAT_NAMES = Object.keys(FORMATS) as readonly FormatName[];
