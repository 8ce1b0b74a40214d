/** What an event of the server changes in a grid that is already here. */
import { isFinished } from "../states";
import type { Cell, GridAnswer, GridRun } from "./types";

export interface TaskChange {
  dag_run_id: string;
  task_id: string;
  map_index: number;
  state: string | null;
  try_number: number;
}

/**
 * The same grid with one more state; the same object when there is nothing to change or it cannot be told from the event alone (a
 * mapped task: which count shrinks is not known). `now` stands for the times until the server is asked.
 */
export function patched(answer: GridAnswer, change: TaskChange, now: number): GridAnswer {
  const cells = answer.cells[change.dag_run_id];
  if (cells === undefined || change.map_index >= 0) return answer;
  const task = placeOf(answer, change.task_id);
  if (task === undefined || answer.nodes.length === 0) return answer;
  const before = cells[task] ?? null;
  if (before !== null && !Array.isArray(before)) return answer;

  let states = answer.states;
  const word = change.state ?? "none";
  let state = states.indexOf(word);
  if (state < 0) {
    state = states.length;
    states = [...states, word];
  }
  const isNewTry = before === null || before[1] !== change.try_number;
  const runs = change.state === "running";
  const start = runs ? (isNewTry ? now : (before[2] ?? now)) : isNewTry ? null : before[2];
  const end = isFinished(change.state) ? (isNewTry ? now : (before[3] ?? now)) : null;
  const after: Cell = [state, change.try_number, start, end];
  if (before !== null && before.every((value, index) => value === after[index])) return answer;
  return {
    ...answer,
    states,
    cells: { ...answer.cells, [change.dag_run_id]: cells.with(task, after) },
  };
}

const places = new WeakMap<GridAnswer["nodes"], Map<string, number>>();

function placeOf({ nodes }: GridAnswer, taskId: string): number | undefined {
  let known = places.get(nodes);
  if (known === undefined) {
    known = new Map(nodes.filter((node) => node.kind === "task").map((node, place) => [node.id, place]));
    places.set(nodes, known);
  }
  return known.get(taskId);
}

/** A run has a new state. A run that is not here is for the server to tell. */
export function patchedRun(answer: GridAnswer, change: Pick<GridRun, "dag_run_id" | "state">): GridAnswer {
  const at = answer.runs.findIndex((run) => run.dag_run_id === change.dag_run_id);
  const run = answer.runs[at];
  if (run === undefined || run.state === change.state) return answer;
  return { ...answer, runs: answer.runs.with(at, { ...run, state: change.state }) };
}

/**
 * Pages of runs, newest page first, as one grid. The newest page has the tasks of today; a task of an older page has its own place there,
 * so cells are brought to the places of the newest page.
 */
export function joined(pages: readonly GridAnswer[]): GridAnswer {
  const [newest, ...older] = pages;
  if (newest === undefined) {
    return { dag_version_number: null, nodes: [], runs: [], states: [], cells: {} };
  }
  if (older.length === 0) return newest;
  const tasks = newest.nodes.filter((node) => node.kind === "task").map((node) => node.id);
  const key = tasks.join("\n");
  const states = [...newest.states];
  const cells = { ...newest.cells };
  const runs = [...newest.runs];
  const seen = new Set(runs.map((run) => run.dag_run_id));
  for (const page of older) {
    const names = page.nodes.filter((node) => node.kind === "task").map((node) => node.id);
    const moved = names.join("\n") === key ? null : placesIn(names, tasks);
    const stateAt = page.states.map((state) => {
      const at = states.indexOf(state);
      return at >= 0 ? at : states.push(state) - 1;
    });
    const sameStates = stateAt.every((at, index) => at === index);
    const fresh = page.runs.filter((run) => !seen.has(run.dag_run_id));
    for (const run of fresh) {
      seen.add(run.dag_run_id);
      const row = page.cells[run.dag_run_id] ?? [];
      const placed = moved === null ? row : moved.map((place) => (place < 0 ? null : (row[place] ?? null)));
      cells[run.dag_run_id] = sameStates
        ? placed
        : placed.map((cell) => (Array.isArray(cell) ? [stateAt[cell[0]] ?? cell[0], cell[1], cell[2], cell[3]] : cell));
    }
    runs.unshift(...fresh);
  }
  return { ...newest, states, runs, cells };
}

function placesIn(names: readonly string[], wanted: readonly string[]): number[] {
  const at = new Map(names.map((id, place) => [id, place]));
  return wanted.map((id) => at.get(id) ?? -1);
}
