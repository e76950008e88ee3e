import { describe, expect, test } from 'vitest';
import { inlineMap, MappedSource, sourceMapUrl } from './source-map.ts';

/** Line 1, column 1 of the compiled file is line 2, column 1 of a.ts; line 2 of it is not mapped. */
const MAP = { version: 3, sources: ['a.ts'], names: [], mappings: 'AACA' };

describe('a source map', () => {
  test('is named by the last comment that names one', () => {
    expect(sourceMapUrl('a();\n//# sourceMappingURL=old.map\nb();\n//# sourceMappingURL=app.js.map\n')).toBe(
      'app.js.map',
    );
    expect(sourceMapUrl('"//# sourceMappingURL=no.map"')).toBeUndefined();
    expect(sourceMapUrl('a();')).toBeUndefined();
  });

  test('may stand in its URL, in base 64 or escaped', () => {
    const text = JSON.stringify(MAP);
    expect(inlineMap(`data:application/json;base64,${btoa(text)}`)).toBe(text);
    expect(inlineMap(`data:application/json,${encodeURIComponent(text)}`)).toBe(text);
    expect(inlineMap('data:application/json,%')).toBeUndefined();
    expect(inlineMap('app.js.map')).toBeUndefined();
  });

  test('leads back to the line that was written, below its root', () => {
    expect(MappedSource.parse(JSON.stringify(MAP))?.find(1, 5)).toEqual({ file: 'a.ts', line: 2 });
    expect(MappedSource.parse(JSON.stringify({ ...MAP, sourceRoot: '../src' }))?.find(1, 1)).toEqual({
      file: '../src/a.ts',
      line: 2,
    });
  });

  test('gives nothing for lines that it does not cover', () => {
    expect(MappedSource.parse(JSON.stringify(MAP))?.find(2, 1)).toBeUndefined();
    expect(MappedSource.parse(JSON.stringify({ ...MAP, mappings: '' }))?.find(1, 1)).toBeUndefined();
  });

  test.each(['', 'nothing', 'null', '[]', '{"version":3}', '{"sections":[{}]}', '{"mappings":"AACA","sources":7}'])(
    'that is damaged (%s) is none',
    (text) => {
      expect(MappedSource.parse(text)?.find(1, 1)).toBeUndefined();
    },
  );

  test('with millions of mappings is not parsed, in sections or not', () => {
    const mappings = ',A'.repeat(2 ** 21);
    expect(MappedSource.parse(JSON.stringify({ ...MAP, mappings }))).toBeUndefined();
    const section = { offset: { line: 0, column: 0 }, map: { ...MAP, mappings } };
    expect(MappedSource.parse(JSON.stringify({ version: 3, sections: [section] }))).toBeUndefined();
  });
});
