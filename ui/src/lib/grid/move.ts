/** Where the keyboard leads in the grid. A place is a row and a column; -1 is the row of runs, and the column of names. */
import { hasFailed, type Row } from "./rows";
import type { GridAnswer } from "./types";

export interface Place {
  row: number;
  column: number;
}

export interface Size {
  rows: number;
  columns: number;
}

const within = (value: number, least: number, most: number) => Math.min(Math.max(value, least), Math.max(least, most));

/** Null: the key does not move. There is nothing where the row of runs and the column of names meet. */
export function move(at: Place, key: string, size: Size, page = 10): Place | null {
  const to = (row: number, column: number): Place => {
    const next = { row: within(row, -1, size.rows - 1), column: within(column, -1, size.columns - 1) };
    if (next.row === -1 && next.column === -1) return at.row === -1 ? { row: -1, column: 0 } : { row: 0, column: -1 };
    return next;
  };
  switch (key) {
    case "ArrowUp":
      return to(at.row - 1, at.column);
    case "ArrowDown":
      return to(at.row + 1, at.column);
    case "ArrowLeft":
      return to(at.row, at.column - 1);
    case "ArrowRight":
      return to(at.row, at.column + 1);
    case "Home":
      return to(at.row, -1);
    case "End":
      return to(at.row, size.columns - 1);
    case "PageUp":
      return to(at.row - page, at.column);
    case "PageDown":
      return to(at.row + page, at.column);
    default:
      return null;
  }
}

/**
 * The next failure after a place: newest run first, and in it from the top; `back` goes the other way. It goes round. A folded group
 * counts as one. Null: there is none.
 */
export function nextFailure(
  at: Place | null,
  back: boolean,
  rows: readonly Row[],
  answer: Pick<GridAnswer, "runs" | "cells" | "states">,
  isFolded: (row: Row) => boolean,
): Place | null {
  const shown = rows.map((row) => row.kind === "task" || isFolded(row));
  const order: Place[] = [];
  for (let column = answer.runs.length - 1; column >= 0; column--) {
    const cells = answer.cells[answer.runs[column]?.dag_run_id ?? ""];
    if (cells === undefined) continue;
    rows.forEach((row, index) => {
      if (shown[index] === true && hasFailed(row, cells, answer.states)) order.push({ row: index, column });
    });
  }
  if (order.length === 0) return null;
  // Newer runs come first, so a place is later when its column is smaller.
  const later = (a: Place, b: Place) => a.column < b.column || (a.column === b.column && a.row > b.row);
  const found =
    at === null
      ? undefined
      : back
        ? order.findLast((place) => later(at, place))
        : order.find((place) => later(place, at));
  return found ?? (back ? order.at(-1) : order[0]) ?? null;
}
