/**
 * A recorder that is killed: the rings it leaves in /dev/shm become a snapshot that perf reads and that has every
 * record.
 */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readRingDirectory } from '../src/snapshot/ring-directory.ts';
import { isInstalled, PerfDataImage, run } from '../src/snapshot/testing/perf-tool.ts';
import { ringkeep, show, showWithNames, start, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

const BUSY = ['sh', '-c', 'echo ready; while :; do /bin/true; sleep 0.01; done'];

/**
 * A recorder that was killed while its command ran: the directory of its rings. The command goes when the test is over.
 */
async function killedRecorder(source: string): Promise<string> {
  const running = start(['record', '--source', source, '--snapshot', 'never', '--', ...BUSY]);
  await running.until('20 rings', () => running.ringFiles().length > 20);
  running.kill('SIGKILL');
  await running.exited;
  return running.ringDirectory()!;
}

/** The bytes of every record, as comparable text. */
function recordTexts(records: Uint8Array): string[] {
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.length);
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt16LE(at + 6))
    texts.push(bytes.toString('hex', at, at + bytes.readUInt16LE(at + 6)));
  return texts;
}

describe.each(['perf', 'procfs'])('the rings of a recorder killed in the middle, by %s', (source) => {
  test('are saved, every record of them, and perf reads what was saved', async (context) => {
    if (source === 'perf') needs(context, 'perf events');
    const directory = await killedRecorder(source);
    const output = new Workplace().file('recovered.perf.data');
    const { status, stdout, stderr } = await ringkeep(['recover', directory, '-o', output, '--json']);
    expect([status, stderr]).toEqual([0, '']);
    const summary = JSON.parse(stdout);
    const found = readRingDirectory(directory);
    expect(summary).toMatchObject({ rings: found.rings.length, unreadable: [], livingRecorder: null });

    const saved = new Set(new PerfDataImage(output).recordBytes().flatMap(recordTexts));
    const left = found.rings.flatMap(({ contents }) => recordTexts(contents.records));
    expect(left.length).toBe(summary.records);
    expect(left.filter((record) => !saved.has(record))).toEqual([]);
    if (isInstalled('perf')) {
      const script = run('perf', 'script', '-i', output, '--show-task-events');
      expect([script.status, script.stderr]).toEqual([0, '']);
      expect(script.stdout).toMatch(/PERF_RECORD_(COMM|FORK)/);
    }
    const { threads, degraded } = show(output);
    expect(threads.length).toBeGreaterThanOrEqual(found.rings.length);
    expect(new Set(threads.map(({ tid }) => tid)).size).toBe(threads.length);
    expect(degraded.join()).not.toContain('side-band log');
    // The directory stays until the user removes it, and can be shown.
    expect(existsSync(directory)).toBe(true);
    expect(showWithNames(directory).reason).toBe('recover');
    const one = found.rings[0]!;
    expect(show(one.path).threads.map(({ tid }) => tid)).toEqual([one.contents.header.tid]);
  });
});
