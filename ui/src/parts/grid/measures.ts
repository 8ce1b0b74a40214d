import type { Row } from "../../lib/grid/rows";

export interface Measures {
  rowHeight: number;
  columnWidth: number;
  /** Side of the square that shows a state. */
  mark: number;
}

const isCoarse = () => typeof window.matchMedia === "function" && window.matchMedia("(pointer: coarse)").matches;

/** Fingers need room; few rows have it; many rows want to be seen at once. */
export function measuresOf(rowCount: number): Measures {
  if (isCoarse()) return { rowHeight: 28, columnWidth: 26, mark: 20 };
  return rowCount <= 60 ? { rowHeight: 22, columnWidth: 20, mark: 16 } : { rowHeight: 18, columnWidth: 18, mark: 14 };
}

const INDENT = 14;

/** Wide enough for the longest name, and no more than a third of a wide window or two fifths of a narrow one. */
export function nameWidth(rows: readonly Row[], width: number): number {
  const longest = rows.reduce((most, row) => Math.max(most, row.label.length * 6.9 + row.depth * INDENT), 0);
  const most = width < 600 ? Math.max(120, width * 0.4) : 320;
  return Math.round(Math.min(Math.max(longest + 44, 140), most));
}
