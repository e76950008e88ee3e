/** The declarations of a Firefox profile: categories of frames and markers, and how the viewer shows each kind of marker. */
import type { ThreadState } from '../schedule/schedule-reader.ts';

/** Numbers of the rows of CATEGORIES. */
export const Category = { other: 0, user: 1, kernel: 2, offCpu: 3, loss: 4 } as const;

/** The grey one is the default. */
export const CATEGORIES = [
  { name: 'Other', color: 'grey', subcategories: ['Other'] },
  { name: 'User', color: 'yellow', subcategories: ['Other'] },
  { name: 'Kernel', color: 'orange', subcategories: ['Other'] },
  { name: 'Off-CPU', color: 'blue', subcategories: ['Other'] },
  { name: 'Loss', color: 'red', subcategories: ['Other'] },
] as const;

/** What a marker of an off-CPU interval is called, by what the thread was in; the other states are no such intervals. */
export const OFF_CPU_NAMES: Readonly<Partial<Record<ThreadState, string>>> = {
  runnable: 'runnable',
  sleeping: 'sleeping',
  blocked: 'uninterruptible',
  unknown: 'off-CPU',
};

const DISPLAY = ['marker-chart', 'marker-table', 'timeline-overview'] as const;

/** By the `type` of a marker's data. */
export const MARKER_SCHEMA = [
  {
    name: 'OffCpu',
    display: ['marker-chart', 'marker-table'],
    tooltipLabel: '{marker.name}',
    tableLabel: '{marker.data.state}',
    fields: [
      { key: 'state', label: 'State', format: 'string' },
      { key: 'cpu', label: 'CPU it came back on', format: 'integer' },
    ],
  },
  {
    name: 'Lost',
    display: DISPLAY,
    tableLabel: '{marker.data.lost}',
    fields: [{ key: 'lost', label: 'Records lost', format: 'integer' }],
  },
  {
    name: 'Death',
    display: DISPLAY,
    tableLabel: '{marker.data.evidence}',
    fields: [{ key: 'evidence', label: 'Known from', format: 'string' }],
  },
  { name: 'Event', display: ['marker-chart', 'marker-table'], fields: [] },
] as const;
