import { expect, test } from 'vitest';
import { copiesOf, debugFiles } from './debug-files.ts';

const PLACES = { home: '/home/u', debuginfodCache: null, cacheHome: null };

test('debug files are looked for by link, by build id, then by path', () => {
  expect(debugFiles('/usr/bin/app', 'abcdef', 'app.debug', PLACES)).toEqual([
    '/usr/bin/.debug/app.debug',
    '/usr/bin/app.debug',
    '/usr/lib/debug/usr/bin/app.debug',
    '/usr/lib/debug/.build-id/ab/cdef.debug',
    '/home/u/.cache/debuginfod_client/abcdef/debuginfo',
    '/home/u/.debug/.build-id/ab/cdef/debug',
    '/usr/lib/debug/usr/bin/app.debug',
    '/usr/lib/debug/usr/bin/app',
  ]);
});

test('debuginfod’s own variable comes before the caches of the user', () => {
  const places = { ...PLACES, cacheHome: '/cache' };
  expect(copiesOf('abcdef', places)).toContain('/cache/debuginfod_client/abcdef/executable');
  expect(copiesOf('abcdef', { ...places, debuginfodCache: '/d' })).toEqual([
    '/home/u/.debug/.build-id/ab/cdef/elf',
    '/d/abcdef/executable',
  ]);
});

test('a file without a build id and without a link is looked for by its path alone', () => {
  expect(debugFiles('/usr/bin/app', null, undefined, PLACES)).toEqual([
    '/usr/lib/debug/usr/bin/app.debug',
    '/usr/lib/debug/usr/bin/app',
  ]);
});
