import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { fakeEvent } from '../daemon/testing/fake-recorder.ts';
import { formatEvents } from './events.ts';

test('each line begins with the path of its own file, also after TID reuse', () => {
  const living = fakeEvent('/dev/shm/fake', 'web', 7);
  const ended = { ...living, path: join(dirname(living.path), '7.a1b2'), alive: false };
  const text = formatEvents([living, ended], { width: 200, hasColour: false });
  expect(text).toMatch(/^web\/software\/7 .* live /m);
  expect(text).toMatch(/^web\/software\/7\.a1b2 .* ended /m);
  expect(text).toMatch(/\nfiles in \/dev\/shm\/fake\n$/);
});
