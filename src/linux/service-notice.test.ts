import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { notifyService } from './service-notice.ts';

/** Node has no datagrams on Unix sockets to receive with either. */
const hasPython = spawnSync('python3', ['--version']).status === 0;
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1))
print('bound', flush=True)
print(s.recv(100).decode(), flush=True)
`;

let scratch: string;
let receiver: ChildProcess | undefined;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-notice-'));
});
afterEach(() => {
  receiver?.kill('SIGKILL');
  receiver = undefined;
  rmSync(scratch, { recursive: true, force: true });
});

async function received(address: string, send: () => boolean): Promise<string> {
  receiver = spawn('python3', ['-c', RECEIVER, address], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of receiver.stdout!) {
    text += chunk;
    if (text === 'bound\n') expect(send()).toBe(true);
  }
  return text.replace('bound\n', '').trim();
}

describe('a notice to the service manager', () => {
  it.skipIf(!hasPython)('reaches the socket it names (needs python3 to receive)', async () => {
    const path = join(scratch, 'notify');
    expect(await received(path, () => notifyService(path, 'READY=1'))).toBe('READY=1');
  });

  it.skipIf(!hasPython)('reaches an abstract name (needs python3 to receive)', async () => {
    const name = `@ringkeep-${process.pid}`;
    expect(await received(name, () => notifyService(name, 'STOPPING=1'))).toBe('STOPPING=1');
  });

  it('is dropped when no process listens, or the name is not valid', () => {
    expect(notifyService(join(scratch, 'unbound'), 'READY=1')).toBe(false);
    expect(notifyService('', 'READY=1')).toBe(false);
    expect(notifyService(`/${'x'.repeat(200)}`, 'READY=1')).toBe(false);
  });
});
