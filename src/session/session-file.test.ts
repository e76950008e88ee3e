import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Attachment } from '../engine/attachment.ts';
import { readSession, removeSession, writeSession } from './session-file.ts';

const NOTHING = { attachments: [], triggers: [] };

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'ringkeep-session-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

it('a session is read as it was written', () => {
  const path = directory();
  const targets = [
    { kind: 'pid', pid: 42 },
    { kind: 'tid', tid: 43 },
    { kind: 'all' },
    { kind: 'comm', glob: 'node*' },
    { kind: 'cgroup', path: '/a' },
  ] as const;
  const attachments = targets.map((target) => new Attachment(path, target.kind, target, 'software', 5));
  const atMost = { count: 2, perMs: 1000 };
  const triggers = [
    { on: 'exit-signal', options: {} },
    {
      on: 'stall>200ms',
      options: { comm: 'web*', pid: 1, tid: 2, atMost, preMs: 5, postMs: 0, directory: '/s', keep: 3 },
    },
  ];
  expect(writeSession(path, attachments, triggers)).toBe(true);
  expect(readSession(path)).toEqual({
    attachments: targets.map((target) => ({ name: target.kind, target, attachedWallMs: 5 })),
    triggers,
  });
});

it.each([
  'null',
  '[]',
  '{"version":1}',
  '{"version":2,"attachments":[]}',
  '{"version":1,"attachments":{"length":1}}',
  '{"version":1,"attachments":[null,7,"x",{}]}',
  '{"version":1,"attachments":[{"name":"../../up","target":{"kind":"pid","pid":1},"attachedWallMs":0}]}',
  '{"version":1,"attachments":[{"name":"a","target":{"kind":"moon"},"attachedWallMs":0}]}',
  '{"version":1,"attachments":[{"name":"a","target":{"kind":"pid","pid":"1"},"attachedWallMs":0}]}',
  '{"version":1,"attachments":[{"name":"a","target":null,"attachedWallMs":0}]}',
  '{"version":1,"attachments":[{"name":"a","target":{"kind":"all"},"attachedWallMs":null}]}',
  '{"version":1,"attachments":[],"triggers":[null,7,"x",{},{"on":"exit-signal"},{"on":1,"options":{}},{"on":"a","options":{"pid":"1"}}]}',
  '{"version":1,"attachments":[],"triggers":[{"on":"a","options":{"other":1}},{"on":"a","options":{"atMost":{"count":"1"}}}]}',
  '{"version":1,"attachments":[',
  '\u0000',
])('an entry of another form is ignored: %s', (text) => {
  const path = directory();
  writeFileSync(join(path, 'session.json'), text);
  expect(readSession(path)).toEqual(NOTHING);
});

it('truncated at any byte it counts as absent, and its removal leaves nothing', () => {
  const path = directory();
  writeSession(path, [new Attachment(path, 'web', { kind: 'all' }, 'software', 5)], []);
  const file = join(path, 'session.json');
  const whole = readFileSync(file);
  for (let bytes = 0; bytes < whole.length; bytes++) {
    writeFileSync(file, whole.subarray(0, bytes));
    expect(readSession(path)).toEqual(NOTHING);
  }
  // Killed as it was written once more.
  writeFileSync(`${file}.new`, '{"vers');
  removeSession(path);
  expect(readdirSync(path)).toEqual([]);
});
