import { describe, expect, test } from 'vitest';
import { Misc } from '../abi/record-table.ts';
import { Context } from '../abi/sample.ts';
import { openCapture } from '../perf-data/capture.ts';
import { frameText, type StackFrame, stackAddresses } from '../perf-data/stack.ts';
import type { FramePlace, Symbolizer } from '../perf-data/symbolizer.ts';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from './post-mortem.ts';

const MAIN = { pid: 100, tid: 100 };
const KERNEL = 0xffffffff81000000n;

/** Names every place after its address, and records the queries. */
function scriptedNamer(): Symbolizer & { asked: FramePlace[] } {
  const asked: FramePlace[] = [];
  return {
    asked,
    problems: ['no names from /gone: it cannot be read here'],
    nameOf(place) {
      asked.push(place);
      const name = `f${place.address.toString(16)}`;
      return place.address === 0x99n ? undefined : { name, offset: 2, symbol: `_Z${name}`, source: null };
    },
  };
}

function sampled(): CaptureBuilder {
  const callchain = BigUint64Array.of(Context.kernel, KERNEL, KERNEL + 1n, Context.user, 0x400020n, 0x400030n, 0x99n);
  return new CaptureBuilder()
    .mmap(MAIN, 0n, 0x400000n, 0x10000n, 0x1000n, '/opt/server')
    .sample(MAIN, 20n, { ip: KERNEL, callchain }, CPU_CLOCK, Misc.kernel);
}

describe('the frames of a post-mortem', () => {
  test('have names where the symbolizer knows them, beside the place in the file', () => {
    const namer = scriptedNamer();
    const report = postMortem(openCapture(sampled().build()), { namer: () => namer });
    const frames = report.threads[0]!.stacks[0]!.frames;
    expect(frames.map(frameText)).toEqual([
      'fffffffff81000000+0x2 ([kernel])',
      'fffffffff81000001+0x2 ([kernel])',
      'f400020+0x2 (server)',
      'f400030+0x2 (server)',
      '[unknown]+0x99',
    ]);
    expect(frames[2]).toEqual({
      address: '0x400020',
      file: '/opt/server',
      fileOffset: '0x1020',
      isKernel: false,
      name: 'f400020',
      nameOffset: 2,
      symbol: '_Zf400020',
      source: null,
    });
    expect(report.unnamed).toEqual(['no names from /gone: it cannot be read here']);
  });

  test('are looked up by mapping; return addresses are marked as such', () => {
    const namer = scriptedNamer();
    postMortem(openCapture(sampled().build()), { namer: () => namer });
    expect(namer.asked.map(({ isReturnAddress, pid, mapping }) => [isReturnAddress, pid, mapping?.file])).toEqual([
      [false, 100, undefined],
      [true, 100, undefined],
      [false, 100, '/opt/server'],
      [true, 100, '/opt/server'],
      [true, 100, undefined],
    ]);
  });

  test('have no names without a symbolizer', () => {
    const report = postMortem(openCapture(sampled().build()));
    expect(report.unnamed).toEqual([]);
    expect(report.threads[0]!.stacks[0]!.frames.every(({ name }) => name === null)).toBe(true);
  });
});

test('a sample without a call chain has one frame, its ip', () => {
  expect(stackAddresses({ ip: 5n }, Misc.user)).toEqual([{ address: 5n, isKernel: false, isReturnAddress: false }]);
});

test('JavaScript is shown with the line that it was written in', () => {
  const frame: StackFrame = {
    address: '0x1',
    file: '//anon',
    fileOffset: null,
    isKernel: false,
    name: 'searchUpTo',
    nameOffset: 7,
    symbol: 'JS:*searchUpTo file:///srv/dist/app.mjs:1:2',
    source: { file: '/srv/src/app.ts', line: 14 },
  };
  expect(frameText(frame)).toBe('searchUpTo app.ts:14');
});

test('threads are selected by name, each incarnation by its own', () => {
  const builder = new CaptureBuilder()
    .comm(MAIN, 1n, 'server')
    .comm({ pid: 100, tid: 101 }, 2n, 'worker-1')
    .sample({ pid: 100, tid: 102 }, 3n);
  const report = postMortem(openCapture(builder.build()), { comm: (comm) => comm.startsWith('worker') });
  expect(report.threads.map(({ tid }) => tid)).toEqual([101]);
  expect(report.totals.threads).toBe(3);
});
