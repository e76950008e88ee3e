/**
 * A line chart as a self-contained SVG: values over time on a logarithmic axis, with a dashed line for each bound.
 * Pure.
 * Invariant: labels are placed beside their lines and never overlap; no text leaves the picture.
 */
import { formatDurationNs, formatSize, PAGE_BYTES } from '../base/units.ts';

export interface ChartSeries {
  readonly name: string;
  /** Any CSS colour. */
  readonly colour: string;
  /** Bytes, at equal steps of time. */
  readonly bytes: Float64Array;
}

export interface ChartLimit {
  readonly name: string;
  readonly bytes: number;
}

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly lengthNs: number;
  readonly series: readonly ChartSeries[];
  readonly limits: readonly ChartLimit[];
}

const WIDTH = 1000;
const HEIGHT = 560;
const PLOT = { left: 74, top: 70, right: 800, bottom: 505 } as const;
const LABEL_HEIGHT = 16;
const FONT = 'font-family="system-ui, DejaVu Sans, sans-serif"';
const TIME_TICKS = 5;
/** Average width of a character at 12 px. */
const CHARACTER_WIDTH = 6.6;

export function lineChart(chart: Chart): string {
  const scale = scaleOf(chart);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" ${FONT} font-size="12">`,
    `<title>${escaped(chart.title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(24, 30, chart.title, { size: 17, weight: 600 }),
    text(24, 50, chart.subtitle, { fill: '#555555' }),
    ...byteAxis(scale),
    ...timeAxis(chart.lengthNs),
    ...chart.series.map((series) => seriesLine(series, scale)),
    ...limitLines(chart.limits, scale),
    ...seriesNames(chart.series, scale),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

/** The powers of two between which all values lie; no value lies below a page. */
interface Scale {
  readonly least: number;
  readonly most: number;
}

function scaleOf({ series, limits }: Chart): Scale {
  let most = PAGE_BYTES;
  let least = Number.POSITIVE_INFINITY;
  for (const { bytes } of series) {
    for (const value of bytes) {
      if (value > most) most = value;
      if (value > 0 && value < least) least = value;
    }
  }
  for (const { bytes } of limits) {
    most = Math.max(most, bytes);
    least = Math.min(least, bytes);
  }
  if (!Number.isFinite(least)) least = PAGE_BYTES;
  return {
    least: Math.floor(Math.log2(least)),
    most: Math.max(Math.ceil(Math.log2(most)), Math.floor(Math.log2(least)) + 1),
  };
}

function heightOf(bytes: number, { least, most }: Scale): number {
  const part = bytes <= 0 ? 0 : Math.max(0, (Math.log2(bytes) - least) / (most - least));
  return round(PLOT.bottom - part * (PLOT.bottom - PLOT.top));
}

function byteAxis(scale: Scale): string[] {
  const step = Math.max(1, Math.ceil((scale.most - scale.least) / 10));
  const parts: string[] = [];
  for (let power = scale.least; power <= scale.most; power += step) {
    const y = heightOf(2 ** power, scale);
    parts.push(line(PLOT.left, y, PLOT.right, y, '#e4e4e4'));
    parts.push(text(PLOT.left - 8, y + 4, formatSize(2 ** power), { anchor: 'end', fill: '#555555' }));
  }
  return parts;
}

function timeAxis(lengthNs: number): string[] {
  const parts = [line(PLOT.left, PLOT.bottom, PLOT.right, PLOT.bottom, '#888888')];
  for (let tick = 0; tick <= TIME_TICKS; tick++) {
    const part = tick / TIME_TICKS;
    const x = round(PLOT.left + part * (PLOT.right - PLOT.left));
    parts.push(line(x, PLOT.bottom, x, PLOT.bottom + 5, '#888888'));
    parts.push(text(x, PLOT.bottom + 20, formatDurationNs(part * lengthNs), { anchor: 'middle', fill: '#555555' }));
  }
  parts.push(text(PLOT.left, HEIGHT - 14, 'pinned bytes (logarithmic) over time', { fill: '#555555' }));
  return parts;
}

/** Labels are placed on the line, at the left. */
function limitLines(limits: readonly ChartLimit[], scale: Scale): string[] {
  return limits.flatMap(({ name, bytes }) => {
    const y = heightOf(bytes, scale);
    return [
      line(PLOT.left, y, PLOT.right, y, '#777777', 'stroke-dasharray="6 4"'),
      text(PLOT.left + 6, y - 4, name, { fill: '#555555', size: 11, hasHalo: true }),
    ];
  });
}

/** A step function: a value holds until the next one. */
function seriesLine({ colour, bytes }: ChartSeries, scale: Scale): string {
  const width = (PLOT.right - PLOT.left) / Math.max(1, bytes.length);
  let path = '';
  let last = Number.NaN;
  bytes.forEach((value, index) => {
    const y = heightOf(value, scale);
    if (y === last) return;
    const x = round(PLOT.left + index * width);
    path += path === '' ? `M${x} ${y}` : `H${x}V${y}`;
    last = y;
  });
  return `<path d="${path}H${PLOT.right}" fill="none" stroke="${colour}" stroke-width="1.6" stroke-linejoin="round"/>`;
}

/** Each label at the height where its line ends, moved apart where lines end close together. */
function seriesNames(series: readonly ChartSeries[], scale: Scale): string[] {
  const labels = series
    .map(({ name, colour, bytes }) => ({ name, colour, endY: heightOf(bytes.at(-1) ?? 0, scale), y: 0 }))
    .toSorted((a, b) => a.endY - b.endY);
  let free = PLOT.top;
  for (const label of labels) {
    label.y = Math.max(label.endY, free);
    free = label.y + LABEL_HEIGHT;
  }
  // Labels below the plot are moved up again.
  let most = PLOT.bottom + LABEL_HEIGHT;
  for (const label of labels.toReversed()) {
    label.y = Math.min(label.y, most);
    most = label.y - LABEL_HEIGHT;
  }
  return labels.flatMap(({ name, colour, endY, y }) => [
    line(PLOT.right + 2, endY, PLOT.right + 18, y, colour),
    text(PLOT.right + 22, y + 4, name, { fill: colour }),
  ]);
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string, more = ''): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colour}" ${more}/>`;
}

interface TextStyle {
  readonly anchor?: 'end' | 'middle';
  readonly fill?: string;
  readonly size?: number;
  readonly weight?: number;
  /** White around the letters, for text on lines. */
  readonly hasHalo?: boolean;
}

/** Cut where it would leave the picture. */
function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { anchor, fill = '#222222', size = 12, weight, hasHalo } = style;
  const room = Math.floor((WIDTH - x) / ((CHARACTER_WIDTH * size) / 12));
  const cut = anchor === undefined && content.length > room ? `${content.slice(0, Math.max(0, room - 1))}…` : content;
  const attributes = [
    `x="${x}" y="${y}" fill="${fill}" font-size="${size}"`,
    anchor ? `text-anchor="${anchor}"` : '',
    weight ? `font-weight="${weight}"` : '',
    hasHalo ? 'stroke="#ffffff" stroke-width="4" paint-order="stroke"' : '',
  ];
  return `<text ${attributes.filter((each) => each !== '').join(' ')}>${escaped(cut)}</text>`;
}

function escaped(content: string): string {
  return content.replace(/[&<>"]/g, (character) => ENTITIES[character]!);
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
