/**
 * Call trees as text, like a flame graph on its side: one line per function with its share, its total and its self time.
 * A chain of single calls stays in one column; branches are indented. Pure.
 * Invariants: no line is wider than the given width; omitted functions are counted.
 */
import { formatDurationNs } from '../base/units.ts';
import type { CallNode, CallTree } from '../export/call-tree.ts';
import { fitText, type Paint, painter, printable, type TerminalStyle } from './terminal.ts';

export interface CallTreeTextOptions extends TerminalStyle {
  /** Every function, however small its share. */
  readonly showAll: boolean;
}

/** Functions with a smaller share are omitted. */
const LEAST_SHARE = 0.01;
/** The largest part of the width that the guides of branches take. */
const MOST_INDENT_SHARE = 0.4;

/** The trees one below the other, lines ended by newlines. */
export function formatCallTrees(trees: readonly CallTree[], options: CallTreeTextOptions): string {
  if (trees.length === 0) return 'no samples: there is no tree to show\n';
  return trees.map((tree) => `${treeLines(tree, options).join('\n')}\n`).join('\n');
}

function treeLines(tree: CallTree, options: CallTreeTextOptions): string[] {
  const paint = painter(options.hasColour);
  const what = `${amountText(tree, tree.total)} ${tree.unit !== 'samples' ? 'asleep' : tree.total === 1 ? 'sample' : 'samples'}`;
  const title = fitText(`${printable(tree.event)}: ${what}`, options.width);
  const writer = new TreeWriter(tree, options, paint);
  writer.branches(tree.roots, '');
  return [paint('bold', title), paint('dim', fitText(HEADING, options.width)), ...writer.lines];
}

const HEADING = '  SHARE     TOTAL      SELF  FUNCTION';

function amountText({ unit }: CallTree, amount: number): string {
  return unit === 'samples' ? amount.toLocaleString('en-US') : formatDurationNs(amount);
}

class TreeWriter {
  readonly lines: string[] = [];
  readonly #tree: CallTree;
  readonly #options: CallTreeTextOptions;
  readonly #paint: Paint;
  readonly #least: number;

  constructor(tree: CallTree, options: CallTreeTextOptions, paint: Paint) {
    this.#tree = tree;
    this.#options = options;
    this.#paint = paint;
    this.#least = options.showAll ? 0 : tree.total * LEAST_SHARE;
  }

  /** `guide`: the vertical lines of open branches, printed before the names. */
  branches(nodes: readonly CallNode[], guide: string): void {
    const shown = nodes.filter(({ total }) => total >= this.#least);
    const isRoot = guide === '';
    const hidden = nodes.length - shown.length;
    const isFork = shown.length + Math.min(hidden, 1) > 1;
    for (const [at, node] of shown.entries()) {
      const isLast = at === shown.length - 1 && hidden === 0;
      const [own, below] =
        isRoot || !isFork ? [guide, guide] : [`${guide}${isLast ? '└ ' : '├ '}`, `${guide}${isLast ? '  ' : '│ '}`];
      this.#line(node, own);
      this.branches(node.children, isRoot ? ' ' : below);
    }
    if (hidden > 0)
      this.#rest(
        nodes.filter(({ total }) => total < this.#least),
        isRoot ? '' : `${guide}└ `,
      );
  }

  #line(node: CallNode, guide: string): void {
    const isThread = guide === '';
    const self = node.self > 0 ? amountText(this.#tree, node.self) : '';
    const text = this.#columns(node.total, self) + this.#fitted(guide) + printable(labelOf(node));
    const line = fitText(text, this.#options.width);
    this.lines.push(isThread ? this.#paint('cyan', line) : line);
  }

  #rest(nodes: readonly CallNode[], guide: string): void {
    const total = nodes.reduce((sum, node) => sum + node.total, 0);
    const text = `${this.#columns(total, '')}${this.#fitted(guide)}… ${nodes.length.toLocaleString('en-US')} more`;
    this.lines.push(this.#paint('dim', fitText(text, this.#options.width)));
  }

  #columns(total: number, self: string): string {
    const share = `${((100 * total) / Math.max(1, this.#tree.total)).toFixed(1)}%`;
    return `${share.padStart(7)}${amountText(this.#tree, total).padStart(10)}${self.padStart(10)}  `;
  }

  /** Deep branches lose their outer lines: the inner ones show which functions belong together. */
  #fitted(guide: string): string {
    const most = Math.floor(this.#options.width * MOST_INDENT_SHARE);
    return guide.length <= most ? guide : `‥${guide.slice(guide.length - most + 1)}`;
  }
}

function labelOf({ name, file }: CallNode): string {
  const base = file?.slice(file.lastIndexOf('/') + 1) ?? '';
  // A label that is a place in a file, or a JavaScript line, names the file already.
  const isSaid = base === '' || name.includes(base) || / \S+:\d+$/.test(name);
  return isSaid ? name : `${name} (${base.startsWith('[kernel') ? '[kernel]' : base})`;
}
