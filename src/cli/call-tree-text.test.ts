import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CallNode, CallTree } from '../export/call-tree.ts';
import { formatCallTrees } from './call-tree-text.ts';

const plain = { width: 80, hasColour: false, showAll: false };

function node(name: string, self: number, children: CallNode[] = [], file: string | null = '/opt/app'): CallNode {
  return { name, file, self, total: children.reduce((sum, { total }) => sum + total, self), children };
}

function tree(roots: CallNode[], unit: CallTree['unit'] = 'samples'): CallTree {
  return { event: 'cpu-clock', unit, total: roots.reduce((sum, { total }) => sum + total, 0), roots };
}

describe('a call tree as text', () => {
  test('a chain stays in one column and branches are indented; small ones are counted', () => {
    const small = [node('a', 1), node('b', 1)];
    const work = node('work', 100, [node('read', 300), node('parse', 98), ...small]);
    const idle = node('idle', 500, [], '/usr/lib/libc.so.6');
    const text = formatCallTrees([tree([node('main', 0, [node('run', 0, [work, idle])], null)])], plain);
    expect(text).toMatchInlineSnapshot(`
      "cpu-clock: 1,000 samples
        SHARE     TOTAL      SELF  FUNCTION
       100.0%     1,000            main
       100.0%     1,000             run (app)
        50.0%       500       100   ├ work (app)
        30.0%       300       300   │ ├ read (app)
         9.8%        98        98   │ ├ parse (app)
         0.2%         2             │ └ … 2 more
        50.0%       500       500   └ idle (libc.so.6)
      "
    `);
  });

  test('a tree of time shows durations', () => {
    const text = formatCallTrees([tree([node('main', 1_500_000, [], null)], 'nanoseconds')], plain);
    expect(text).toMatch(/^cpu-clock: 1\.5ms asleep\n.*\n 100\.0% +1\.5ms +1\.5ms {2}main\n$/);
  });

  test('nothing is omitted with showAll', () => {
    const many = tree([
      node(
        'main',
        0,
        Array.from({ length: 500 }, (_, index) => node(`f${index}`, 1)),
      ),
    ]);
    expect(formatCallTrees([many], { ...plain, showAll: true }).split('\n')).toHaveLength(504);
    expect(formatCallTrees([many], plain)).toContain('… 500 more\n');
  });

  test('reports that there is no tree', () => {
    expect(formatCallTrees([], plain)).toBe('no samples: there is no tree to show\n');
  });

  test('no line is wider than the terminal, and no name moves the cursor', () => {
    const { tree: arbitrary } = fc.letrec<{ tree: CallNode }>((tie) => ({
      tree: fc
        .record({
          name: fc.string({ unit: 'binary' }),
          self: fc.integer({ min: 1, max: 1e9 }),
          file: fc.option(fc.string({ unit: 'binary' })),
          children: fc.oneof(
            { depthSize: 'large', maxDepth: 12 },
            fc.constant<CallNode[]>([]),
            fc.array(tie('tree'), { maxLength: 3 }),
          ),
        })
        .map(({ name, self, file, children }) => node(name, self, children, file)),
    }));
    fc.assert(
      fc.property(arbitrary, fc.integer({ min: 40, max: 130 }), fc.boolean(), (root, width, showAll) => {
        const lines = formatCallTrees([tree([root])], { width, hasColour: false, showAll }).split('\n');
        for (const line of lines) expect(Array.from(line).length).toBeLessThanOrEqual(width);
        expect(lines.join('')).not.toMatch(/\p{Cc}/u);
      }),
    );
  });
});
