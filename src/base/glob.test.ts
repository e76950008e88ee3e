import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compileGlob } from './glob.ts';

it('a name matches as in a shell, the whole of it', () => {
  const matching = (glob: string) => ['nginx', 'nginx: worker', 'xnginx', ''].filter(compileGlob(glob));
  expect(matching('nginx')).toEqual(['nginx']);
  expect(matching('nginx*')).toEqual(['nginx', 'nginx: worker']);
  expect(matching('?nginx')).toEqual(['xnginx']);
  expect(matching('*')).toEqual(['nginx', 'nginx: worker', 'xnginx', '']);
  expect(compileGlob('a.c')('abc')).toBe(false);
  expect(compileGlob('?')('ü')).toBe(true);
});

it('a name matches exactly when a regular expression of the same meaning does', () => {
  const letters = (alphabet: string) => fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 8 });
  fc.assert(
    fc.property(letters('ab*?'), letters('ab*'), (glob, name) => {
      const parts = [...glob].map((letter) => (letter === '*' ? '.*' : letter === '?' ? '.' : letter));
      expect(compileGlob(glob)(name)).toBe(new RegExp(`^${parts.join('')}$`, 's').test(name));
    }),
    { numRuns: 2000 },
  );
});
