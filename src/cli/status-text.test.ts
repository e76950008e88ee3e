import { expect, test } from 'vitest';
import { adoptionText } from './status-text.ts';

test('of an adoption, rings with other events are counted apart from unreadable files, with the command that saves them', () => {
  const adoption = { rings: 2, alive: 1, unreadable: 0, otherEvents: 0, blindMs: null };
  expect(adoptionText(adoption, '/e')).toBe('adopted 2 rings of an earlier recorder, 1 of them of living threads');
  const text = adoptionText({ ...adoption, otherEvents: 3 }, '/e');
  expect(text).toContain('3 rings with other events left as they are: save them with `ringkeep recover /e -o FILE`');
  expect(text).not.toContain('no readable ring');
});
