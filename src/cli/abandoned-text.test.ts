import { expect, test } from 'vitest';
import { abandonedText } from './abandoned-text.ts';

test('what killed recorders left is named with the command that saves it; many are counted', () => {
  expect(abandonedText([])).toEqual([]);
  const lines = abandonedText(['/a', '/b', '/c', '/d', '/e']);
  expect(lines).toHaveLength(4);
  expect(lines[0]).toContain('ringkeep recover /a -o FILE');
  expect(lines[3]).toContain('2 more');
});
