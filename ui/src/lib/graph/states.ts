/** The states of one run over the boxes of a graph. Pure. */
import type { Cell, GridAnswer } from "../grid/types";
import { isWaiting, LOOKS, stateWord, type Family } from "../states";
import type { DrawnNode, Structure } from "./model";

export interface TaskState {
  /** What the box looks like: of a mapped task, the worst of its instances. */
  state: string | null;
  try: number;
  /** Milliseconds since the epoch. */
  start: number | null;
  end: number | null;
  /** Of a mapped task: how many instances are in which state. */
  counts: Record<string, number> | null;
}

export type TaskStates = ReadonlyMap<string, TaskState>;

/** What one has to look at first comes first. */
const BY_CONCERN = [
  "failed",
  "awaiting_input",
  "up_for_retry",
  "upstream_failed",
  "running",
  "restarting",
  "deferred",
  "up_for_reschedule",
  "queued",
  "scheduled",
  "none",
  "removed",
  "success",
  "skipped",
];
const concern = (state: string | null) => BY_CONCERN.indexOf(stateWord(state));

const isMany = (cell: Exclude<Cell, null>): cell is Extract<Cell, { counts: unknown }> => !Array.isArray(cell);

function stateOf(cell: Exclude<Cell, null>, states: readonly (string | null)[]): TaskState {
  if (!isMany(cell)) {
    const [state, tryNumber, start, end] = cell;
    return { state: states[state] ?? null, try: tryNumber, start, end, counts: null };
  }
  const [worst] = Object.keys(cell.counts).toSorted((a, b) => concern(a) - concern(b));
  return { state: worst ?? null, try: 0, start: cell.start ?? null, end: cell.end ?? null, counts: cell.counts };
}

/** By task. Cells are in the order of the nodes that are tasks. */
export function statesOf(answer: GridAnswer | undefined, runId: string | null): TaskStates {
  const cells = runId === null ? undefined : answer?.cells[runId];
  const found = new Map<string, TaskState>();
  if (answer === undefined || cells === undefined) return found;
  answer.nodes
    .filter(({ kind }) => kind === "task")
    .forEach(({ id }, index) => {
      const cell = cells[index];
      if (cell != null) found.set(id, stateOf(cell, answer.states));
    });
  return found;
}

/** How many of these tasks are in which state; those without one are left out. The worst comes first. */
export function countsOf(tasks: readonly string[], states: TaskStates): [state: string, count: number][] {
  const counts = new Map<string, number>();
  for (const id of tasks) {
    const one = states.get(id);
    if (one === undefined) continue;
    const word = stateWord(one.state);
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].toSorted(([a], [b]) => concern(a) - concern(b));
}

/** The colours of a box with the part of it that each takes. */
export function sharesOf({ tasks }: DrawnNode, states: TaskStates): { family: Family; share: number }[] {
  const shares = new Map<Family, number>();
  let total = 0;
  for (const [state, count] of countsOf(tasks, states)) {
    const { family } = LOOKS[stateWord(state)];
    shares.set(family, (shares.get(family) ?? 0) + count);
    total += count;
  }
  return [...shares].map(([family, count]) => ({ family, share: count / total }));
}

/** The tasks that failed themselves, in the order of the structure; then those one would look at next. */
export function failures(structure: Structure, states: TaskStates): string[] {
  return structure.nodes.flatMap(({ id, kind }) => (kind === "task" && states.get(id)?.state === "failed" ? [id] : []));
}

/** What a graph opens at: the first failure, else what is running, else what waits. */
export function focusOf(structure: Structure, states: TaskStates): string | null {
  const tasks = structure.nodes.filter(({ kind }) => kind === "task").map(({ id }) => id);
  const first = (wanted: (state: string) => boolean) =>
    tasks.find((id) => {
      const one = states.get(id);
      return one !== undefined && wanted(stateWord(one.state));
    });
  return (
    first((state) => state === "failed") ??
    first((state) => state === "awaiting_input" || state === "up_for_retry") ??
    first((state) => state === "running") ??
    first((state) => state === "queued" || state === "scheduled") ??
    null
  );
}

/** The tasks whose reasons are worth asking for: those that wait though something has been decided about them. Few. */
export function worthAsking(structure: Structure, states: TaskStates, most = 12): Set<string> {
  const found = structure.nodes.filter(({ id }) => {
    const one = states.get(id);
    return (
      one !== undefined && one.counts === null && one.state !== null && one.state !== "none" && isWaiting(one.state)
    );
  });
  return new Set(found.slice(0, most).map(({ id }) => id));
}
