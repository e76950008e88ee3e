/**
 * A table of text that fits a terminal: in a narrow one, columns are dropped in their `dropOrder` and the elastic one
 * is cut.
 * Invariant: no line is wider than the given width.
 */
import { fitText, textWidth } from './terminal.ts';

export interface Column<Row> {
  title: string;
  cell(row: Row): string;
  align?: 'left' | 'right';
  /** 1 is dropped first; a column without it is never dropped. */
  dropOrder?: number;
  /** Takes the remaining width. */
  isElastic?: boolean;
}

const GAP = '  ';
/** An elastic column is no narrower than this. */
const ELASTIC_MIN_WIDTH = 24;
/** Cells of other columns are cut to this. */
const CELL_MAX_WIDTH = 40;

/** Heading and rows; `decorate` paints a whole line (index −1 and no row: the heading). */
export function formatTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number,
  decorate: (line: string, row: Row | undefined, index: number) => string,
): string[] {
  const measured = columns.map((column) => {
    const cells = rows.map((row) => (column.isElastic ? column.cell(row) : fitText(column.cell(row), CELL_MAX_WIDTH)));
    return { column, cells, width: Math.max(textWidth(column.title), ...cells.map(textWidth)) };
  });
  const kept = fitting(measured, width);
  const line = (cellOf: (column: Measured<Row>) => string) => {
    const cells = kept.map((column) => pad(cellOf(column), column.width, column.column.align ?? 'left'));
    return fitText(cells.join(GAP).trimEnd(), width);
  };
  return [
    decorate(
      line(({ column }) => column.title),
      undefined,
      -1,
    ),
    ...rows.map((row, index) =>
      decorate(
        line(({ cells }) => cells[index]!),
        row,
        index,
      ),
    ),
  ];
}

interface Measured<Row> {
  column: Column<Row>;
  cells: string[];
  width: number;
}

/** Drops columns until the rest fits with the elastic one at its minimum; then gives that one the remaining width. */
function fitting<Row>(columns: Measured<Row>[], width: number): Measured<Row>[] {
  let kept = columns;
  const needed = () =>
    kept.reduce(
      (sum, each) => sum + (each.column.isElastic ? Math.min(each.width, ELASTIC_MIN_WIDTH) : each.width) + GAP.length,
      -GAP.length,
    );
  while (needed() > width) {
    const orders = kept.flatMap(({ column }) => (column.dropOrder === undefined ? [] : [column.dropOrder]));
    if (orders.length === 0) break;
    kept = kept.filter(({ column }) => column.dropOrder !== Math.min(...orders));
  }
  const spare = Math.max(0, width - needed());
  return kept.map((each) =>
    each.column.isElastic ? { ...each, width: Math.min(each.width, ELASTIC_MIN_WIDTH + spare) } : each,
  );
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const cut = fitText(text, width);
  const space = ' '.repeat(Math.max(0, width - textWidth(cut)));
  return align === 'right' ? space + cut : cut + space;
}
