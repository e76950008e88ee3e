import { describe, expect, test } from 'vitest';
import { attrFlags, EventType, eventAttr } from '../abi/event-attr.ts';
import { openCapture } from '../capture/capture.ts';
import type { Selection } from '../capture/selection.ts';
import { type BuiltEvent, CaptureBuilder, CPU_CLOCK, SAMPLE_TYPE } from '../capture/testing/capture-builder.ts';
import { type CallNode, type CallTree, callTrees } from './call-tree.ts';
import { PLACES_AS_NAMES } from './frame-names.ts';
import { FIXTURES, MAIN, twoThreads, userStack, WORKER } from './testing/fixtures.ts';

const SWITCHES: BuiltEvent = {
  name: 'context-switches',
  attr: eventAttr({
    type: EventType.software,
    config: 3n,
    sampleType: SAMPLE_TYPE,
    flags: attrFlags('sampleIdAll'),
  }),
  ids: [13n],
};

function treesOf(builder: CaptureBuilder, selection: Selection = {}): CallTree[] {
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
  test('is of functions below the names of threads, the outermost first, the largest first', () => {
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

  test.each<[string, Selection, number]>([
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

describe('the tree of stacks at switches', () => {
  const builder = () =>
    new CaptureBuilder([CPU_CLOCK, SWITCHES])
      .comm(MAIN, 0n, 'main')
      .comm(WORKER, 0n, 'worker')
      .switchIn(MAIN, 1_000n)
      .sample(MAIN, 1_990n, userStack(0x20n), SWITCHES)
      .switchOut(MAIN, 2_000n)
      .switchIn(MAIN, 902_000n)
      .sample(MAIN, 902_500n, userStack(0x30n))
      .sample(MAIN, 903_000n, userStack(0x30n), SWITCHES)
      .switchOut(MAIN, 903_010n, true)
      .switchIn(WORKER, 904_000n)
      .sample(WORKER, 904_990n, userStack(0x40n), SWITCHES)
      .switchOut(WORKER, 905_000n)
      .switchIn(MAIN, 1_905_000n);

  test('is of time asleep, up to the end of the capture, without what only wanted a CPU', () => {
    const [clock, switches] = treesOf(builder());
    expect(clock!.total).toBe(1);
    expect(switches).toMatchObject({ event: 'context-switches', unit: 'nanoseconds', total: 1_900_000 });
    expect(outline(switches!.roots)).toEqual([
      'worker 1000000/0',
      ' [unknown]+0x40 1000000/1000000',
      'main 900000/0',
      ' [unknown]+0x20 900000/900000',
    ]);
  });

  test('counts of a sleep what lies in the time selected', () => {
    const [switches] = treesOf(builder(), { lastNs: 400_000, tid: 101 });
    expect(outline(switches!.roots)).toEqual(['worker 400000/0', ' [unknown]+0x40 400000/400000']);
  });
});
