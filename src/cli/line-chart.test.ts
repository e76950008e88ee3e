import fc from 'fast-check';
import { expect, it } from 'vitest';
import { lineChart } from './line-chart.ts';

const series = (name: string, ...bytes: number[]) => ({
  name,
  colour: 'hsl(0 75% 50%)',
  bytes: Float64Array.from(bytes),
});

function chartOf(...all: ReturnType<typeof series>[]): string {
  return lineChart({
    title: 'T',
    subtitle: 'S',
    lengthNs: 1e9,
    series: all,
    limits: [{ name: 'bound', bytes: 65536 }],
  });
}

/** y of each text that begins at this x or right of it. */
function textHeights(svg: string, fromX: number): number[] {
  return [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"/g)]
    .filter(([, x]) => Number(x) >= fromX)
    .map(([, , y]) => Number(y));
}

it('the chart is one self-contained picture on white', () => {
  const svg = chartOf(series('a', 4096, 8192));
  expect(svg.match(/<svg /g)).toHaveLength(1);
  expect(svg).not.toMatch(/href|url\(|<script|<image/);
  expect(svg).toContain('fill="#ffffff"');
  expect(svg).toContain('stroke-dasharray');
});

it('names are escaped', () => {
  expect(chartOf(series('<a & "b">', 4096))).toContain('&lt;a &amp; &quot;b&quot;&gt;');
});

it('names do not overlap and everything is inside the picture, also for values that are 0, equal or far apart', () => {
  const values = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 40 })), {
    minLength: 1,
    maxLength: 20,
  });
  fc.assert(
    fc.property(fc.array(values, { minLength: 1, maxLength: 20 }), (all) => {
      const svg = chartOf(...all.map((bytes, index) => series(`s${index}`, ...bytes)));
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
      const names = textHeights(svg, 820).toSorted((a, b) => a - b);
      expect(names).toHaveLength(all.length);
      for (let i = 1; i < names.length; i++) expect(names[i]! - names[i - 1]!).toBeGreaterThanOrEqual(15.9);
      for (const [, y] of svg.matchAll(/ y="([\d.-]+)"/g)) {
        expect(Number(y)).toBeGreaterThan(0);
        expect(Number(y)).toBeLessThan(560);
      }
    }),
  );
});
