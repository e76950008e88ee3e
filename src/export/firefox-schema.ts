/**
 * The declarations of a Firefox profile: categories of frames and markers, and how the viewer shows each kind of
 * marker.
 */
import type { SchedState } from '../schedule/change-table.ts';

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

/** The marker of an interval in a state, and its category; the other states have none. */
export const STATE_MARKERS: Readonly<Partial<Record<SchedState, { name: string; type: string; category: number }>>> = {
  runnable: { name: 'runnable', type: 'OffCpu', category: Category.offCpu },
  sleeping: { name: 'sleeping', type: 'OffCpu', category: Category.offCpu },
  blocked: { name: 'uninterruptible', type: 'OffCpu', category: Category.offCpu },
  unknown: { name: 'unknown', type: 'Unknown', category: Category.loss },
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
    // Records were lost: whether the thread ran is not known.
    name: 'Unknown',
    display: ['marker-chart', 'marker-table'],
    tooltipLabel: 'unknown: records were lost',
    tableLabel: 'records were lost',
    fields: [],
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
