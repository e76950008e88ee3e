/**
 * Call trees as text, like a flame graph on its side: one line per function with its share, its total and its self
 * time. A chain of single calls stays in one column; branches are indented. Pure.
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
  writer.write(tree.roots);
  return [paint('bold', title), paint('dim', fitText(HEADING, options.width)), ...writer.lines];
}

const HEADING = '  SHARE     TOTAL      SELF  FUNCTION';

function amountText({ unit }: CallTree, amount: number): string {
  return unit === 'samples' ? amount.toLocaleString('en-US') : formatDurationNs(amount);
}

/** A node with the guide of its own line and of those below it; or nodes that are too small for a line of their own. */
type Pending =
  | { readonly node: CallNode; readonly guide: string; readonly below: string }
  | { readonly hidden: readonly CallNode[]; readonly guide: string };

class TreeWriter {
  readonly lines: string[] = [];
  readonly #tree: CallTree;
  readonly #options: CallTreeTextOptions;
  readonly #paint: Paint;
  readonly #least: number;
  /** Lines still to be written, the next one last. */
  readonly #pending: Pending[] = [];

  constructor(tree: CallTree, options: CallTreeTextOptions, paint: Paint) {
    this.#tree = tree;
    this.#options = options;
    this.#paint = paint;
    this.#least = options.showAll ? 0 : tree.total * LEAST_SHARE;
  }

  /** A line for each node, depth first. Not recursive: a stack may be deeper than the engine's own. */
  write(roots: readonly CallNode[]): void {
    this.#open(roots, '');
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      if ('hidden' in next) this.#rest(next.hidden, next.guide);
      else {
        this.#line(next.node, next.guide);
        this.#open(next.node.children, next.below);
      }
    }
  }

  /** `guide`: what stands before the names, lines of branches that continue below. */
  #open(nodes: readonly CallNode[], guide: string): void {
    const shown = nodes.filter(({ total }) => total >= this.#least);
    const hidden = nodes.filter(({ total }) => total < this.#least);
    const isRoot = guide === '';
    const isFork = shown.length + Math.min(hidden.length, 1) > 1;
    const lines: Pending[] = shown.map((node, at) => {
      const isLast = at === shown.length - 1 && hidden.length === 0;
      if (isRoot) return { node, guide, below: ' ' };
      if (!isFork) return { node, guide, below: guide };
      return { node, guide: `${guide}${isLast ? '└ ' : '├ '}`, below: `${guide}${isLast ? '  ' : '│ '}` };
    });
    if (hidden.length > 0) lines.push({ hidden, guide: isRoot ? '' : `${guide}└ ` });
    for (const line of lines.reverse()) this.#pending.push(line);
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
