import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { exitOf, next, until } from '../base/testing/waiting.ts';
import { Pace } from './pace.ts';
import { ScriptedSource } from './testing/scripted-source.ts';

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-pace-'));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Connects, sends a request and waits for the answer, three times. */
const CLIENT = `
  const ask = (left) => {
    const socket = require('node:net').connect(process.argv[1], () => socket.write('ping'));
    socket.on('data', () => socket.end()).on('close', () => left > 1 && ask(left - 1));
  };
  ask(3);
`;

it('a client that connects during a wait is served without waiting for its timeout', async () => {
  const socketPath = join(directory, 'socket');
  let answered = 0;
  const server = createServer((socket) => {
    socket.on('data', () => {
      answered++;
      socket.write('pong');
    });
  }).listen(socketPath);
  await next(server, 'listening', 'the socket');
  const source = Object.assign(new ScriptedSource(), { latencyMs: 30_000 });
  const pace = new Pace(source);
  // The short first waits are not the subject.
  for (let waits = 0; waits < 20; waits++) pace.wait(1);
  const client = spawn(process.execPath, ['-e', CLIENT, socketPath], { stdio: 'ignore' });
  let ranOut = 0;
  const turn = async () => {
    await pace.turn();
    pace.wait();
    if (!pace.poller.isEventLoopDue) ranOut++;
    return answered === 3;
  };
  await until('three requests of the client', turn, { everyMs: 0, patienceMs: 90_000 });
  expect(ranOut).toBe(0);
  pace.close();
  server.close();
  await exitOf(client, 'the client');
});
