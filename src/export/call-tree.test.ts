import { describe, expect, test } from 'vitest';
import { openCapture } from '../perf-data/capture.ts';
import type { CaptureSelection } from '../perf-data/selection.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { type CallNode, type CallTree, callTrees } from './call-tree.ts';
import { PLACES_AS_NAMES } from './frame-names.ts';
import { FIXTURES, MAIN, sleepStacks, twoThreads, userStack } from './testing/fixtures.ts';

function treesOf(builder: CaptureBuilder, selection: CaptureSelection = {}): CallTree[] {
  return callTrees(openCapture(builder.build()), PLACES_AS_NAMES, selection);
}

/** A line a node: depth, name, total and self. */
function outline(nodes: readonly CallNode[], indent = ''): string[] {
  return nodes.flatMap(({ name, total, self, children }) => [
    `${indent}${name} ${total}/${self}`,
    ...outline(children, `${indent} `),
  ]);
}

describe('the tree of an event', () => {
  test('has functions below the names of threads, the outermost first, the largest first', () => {
    const [clock] = treesOf(twoThreads());
    expect(clock).toMatchObject({ event: 'cpu-clock', unit: 'samples', total: 4 });
    expect(outline(clock!.roots)).toEqual([
      'main 3/0',
      ' libwork.so+0x1010 3/0',
      '  libwork.so+0x1020 3/0',
      '   libwork.so+0x1030 2/2',
      '   libwork.so+0x1040 1/1',
      'worker 1/0',
      ' libwork.so+0x1050 1/1',
    ]);
  });

  test.each<[string, CaptureSelection, number]>([
    ['a thread', { tid: 101 }, 1],
    ['a process', { pid: 100 }, 4],
    ['a name', { comm: (comm) => comm === 'main' }, 3],
    ['the last part', { lastNs: 5_000 }, 2],
    ['a thread in the last part', { tid: 100, lastNs: 5_000 }, 1],
  ])('is narrowed to %s', (_, selection, total) => {
    const clock = treesOf(twoThreads(), selection).find(({ event }) => event === 'cpu-clock');
    expect(clock!.total).toBe(total);
  });

  test.for(Object.entries(FIXTURES))('of %s adds up', ([, build]) => {
    const check = (node: CallNode): void => {
      expect(node.total).toBe(node.self + node.children.reduce((sum, child) => sum + child.total, 0));
      node.children.forEach(check);
    };
    for (const { roots } of treesOf(build())) roots.forEach(check);
  });
});

test('a stack deeper than the engine’s own is a tree as deep', () => {
  // As many frames as a record of 64 KiB holds.
  const addresses = Array.from({ length: 8_000 }, (_, index) => BigInt(index + 1));
  const [tree] = treesOf(new CaptureBuilder().sample(MAIN, 1n, userStack(...addresses)));
  let nodes = 0;
  for (let node = tree!.roots[0]; node !== undefined; node = node.children[0]) nodes++;
  expect(nodes).toBe(1 + addresses.length);
});

describe('the tree of stacks at switches', () => {
  test('is of time asleep, up to the end of the capture, without waits for a CPU', () => {
    const [clock, switches] = treesOf(sleepStacks());
    expect(clock!.total).toBe(1);
    expect(switches).toMatchObject({ event: 'context-switches', unit: 'nanoseconds', total: 1_900_000 });
    expect(outline(switches!.roots)).toEqual([
      'worker 1000000/0',
      ' [unknown]+0x40 1000000/1000000',
      'main 900000/0',
      ' [unknown]+0x20 900000/900000',
    ]);
  });

  test('counts the part of a sleep that lies in the time selected', () => {
    const [switches] = treesOf(sleepStacks(), { lastNs: 400_000, tid: 101 });
    expect(outline(switches!.roots)).toEqual(['worker 400000/0', ' [unknown]+0x40 400000/400000']);
  });
});
