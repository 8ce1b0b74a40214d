/** How long a task usually takes, from the runs that are here. */
import type { Row } from "./rows";
import type { Cell, GridAnswer } from "./types";

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const order = values.toSorted((a, b) => a - b);
  const middle = order.length >> 1;
  const high = order[middle] ?? 0;
  return order.length % 2 === 1 ? high : ((order[middle - 1] ?? 0) + high) / 2;
}

/** Seconds from start to end, or until `now`; null for what has not started. */
export function secondsOf(cell: Cell | undefined, now: number): number | null {
  if (!Array.isArray(cell) || cell[2] === null) return null;
  return ((cell[3] ?? now) - cell[2]) / 1000;
}

/** The median of the runs in which the task succeeded, in seconds; null when there is none but `except`. */
export function usualSeconds(row: Row, answer: Pick<GridAnswer, "runs" | "cells" | "states">, except: string) {
  if (row.task < 0) return null;
  const took: number[] = [];
  for (const { dag_run_id } of answer.runs) {
    const cell = answer.cells[dag_run_id]?.[row.task];
    if (dag_run_id === except || !Array.isArray(cell) || answer.states[cell[0]] !== "success" || cell[3] === null)
      continue;
    const seconds = secondsOf(cell, 0);
    if (seconds !== null) took.push(seconds);
  }
  return median(took);
}

/** The median of the runs that succeeded. */
export const usualRunSeconds = (answer: Pick<GridAnswer, "runs">, except: string) =>
  median(
    answer.runs.flatMap((run) =>
      run.dag_run_id !== except && run.state === "success" && run.duration !== null ? [run.duration] : [],
    ),
  );
