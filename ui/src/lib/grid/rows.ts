/** Rows of the grid: the tree of groups and tasks, folded, filtered, counted. Pure: nothing here knows of the page. */
import type { Cell, GridAnswer, GridNode } from "./types";

export interface Row {
  id: string;
  label: string;
  kind: "task" | "group";
  parent: string | null;
  depth: number;
  /** Of a task: its place in the cells of a run. Of a group: -1. */
  task: number;
  /** The places of the tasks in it; a task has only itself. */
  tasks: readonly number[];
  operator: string | null;
  isMapped: boolean;
  triggerRule: string | null;
}

/** Every group and task, groups before what is in them, in the server's order. A node whose parent is unknown stands at the top. */
export function treeOf(nodes: readonly GridNode[]): Row[] {
  const known = new Set(nodes.map((node) => node.id));
  const children = new Map<string | null, GridNode[]>();
  const places = new Map<string, number>();
  let place = 0;
  for (const node of nodes) {
    const parent = node.parent !== null && known.has(node.parent) && node.parent !== node.id ? node.parent : null;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [node]);
    else siblings.push(node);
    if (node.kind === "task") places.set(node.id, place++);
  }
  const rows: Row[] = [];
  const seen = new Set<string>();
  const visit = (node: GridNode, parent: string | null, depth: number): number[] => {
    if (seen.has(node.id)) return [];
    seen.add(node.id);
    const task = places.get(node.id) ?? -1;
    const tasks: number[] = task < 0 ? [] : [task];
    rows.push({
      id: node.id,
      label: within(node, parent),
      kind: node.kind,
      parent,
      depth,
      task,
      tasks,
      operator: node.operator,
      isMapped: node.is_mapped,
      triggerRule: node.trigger_rule,
    });
    for (const child of children.get(node.id) ?? [])
      for (const each of visit(child, node.id, depth + 1)) tasks.push(each);
    return tasks;
  };
  for (const node of children.get(null) ?? []) visit(node, null, 0);
  return rows;
}

/** Under its group a task needs no more than its own part of the name. */
const within = ({ id, label }: GridNode, parent: string | null) =>
  parent !== null && label === id && id.startsWith(`${parent}.`) ? id.slice(parent.length + 1) : label;

export const groupsOf = (rows: readonly Row[]) => rows.filter((row) => row.kind === "group").map((row) => row.id);

/** How many tasks a DAG may have for its groups to be open at first. */
const OPEN_AT_FIRST = 40;

/**
 * Which groups are open, from what the address says: `all`, `none` or a list of ids; by default all of a small DAG, none of a large
 * one. A group inside a folded one counts as it is listed, so that it is found again as it was left.
 */
export function openGroups(rows: readonly Row[], wish: string | null): Set<string> {
  const groups = groupsOf(rows);
  if (wish === null) return new Set(rows.length - groups.length <= OPEN_AT_FIRST ? groups : []);
  if (wish === "all") return new Set(groups);
  const wanted = new Set(wish.split(",").map(decoded));
  return new Set(groups.filter((id) => wanted.has(id)));
}

/** What the address says of these groups; null when that is the default. */
export function openWish(rows: readonly Row[], open: ReadonlySet<string>): string | null {
  const same = (wish: string | null) => {
    const other = openGroups(rows, wish);
    return other.size === open.size && [...other].every((id) => open.has(id));
  };
  if (same(null)) return null;
  if (same("all")) return "all";
  if (open.size === 0) return "none";
  return groupsOf(rows)
    .filter((id) => open.has(id))
    .map((id) => id.replaceAll("%", "%25").replaceAll(",", "%2C"))
    .join(",");
}

const decoded = (id: string) => id.replaceAll("%2C", ",").replaceAll("%25", "%");

/** The state of a cell and how often; of a task that is not mapped, once. */
export function countCell(cell: Cell | undefined, states: GridAnswer["states"], into: Map<string, number>) {
  if (cell === null || cell === undefined) return;
  if (Array.isArray(cell)) add(into, states[cell[0]] ?? "none", 1);
  else for (const [state, n] of Object.entries(cell.counts)) add(into, state, n);
}

const add = (into: Map<string, number>, state: string, n: number) => {
  if (n > 0) into.set(state, (into.get(state) ?? 0) + n);
};

/** The most telling state first: what failed, what holds things up, what moves, what is still to come, what went well. */
export const SEVERITY = [
  "failed",
  "upstream_failed",
  "up_for_retry",
  "awaiting_input",
  "running",
  "restarting",
  "up_for_reschedule",
  "deferred",
  "queued",
  "scheduled",
  "none",
  "success",
  "skipped",
  "removed",
] as const;

const rank = (state: string) => {
  const at = (SEVERITY as readonly string[]).indexOf(state);
  return at < 0 ? SEVERITY.length : at;
};

export interface Count {
  state: string;
  n: number;
}

/** Sorted by [`SEVERITY`]. */
export function sorted(counts: Map<string, number>): Count[] {
  return [...counts].map(([state, n]) => ({ state, n })).toSorted((a, b) => rank(a.state) - rank(b.state));
}

/** What is shown where a row and a run meet: nothing, or the states with how many instances are in each. */
export function countsOf(row: Row, cells: readonly Cell[] | undefined, states: GridAnswer["states"]): Count[] {
  if (cells === undefined) return [];
  // Nearly all cells are one task with one state.
  const one = row.tasks.length === 1 ? cells[row.tasks[0] ?? -1] : undefined;
  if (Array.isArray(one)) return [{ state: states[one[0]] ?? "none", n: 1 }];
  const counts = new Map<string, number>();
  for (const task of row.tasks) countCell(cells[task], states, counts);
  return sorted(counts);
}

/** A state of one run is a failure of its own or one that follows from another. */
const isFailure = (state: string) => state === "failed" || state === "upstream_failed";

/** Whether the task itself failed in the run: not one that merely follows from another. */
export function hasFailed(row: Row, cells: readonly Cell[] | undefined, states: GridAnswer["states"]): boolean {
  if (cells === undefined) return false;
  return row.tasks.some((task) => {
    const cell = cells[task];
    if (cell === null || cell === undefined) return false;
    return Array.isArray(cell) ? states[cell[0]] === "failed" : (cell.counts["failed"] ?? 0) > 0;
  });
}

export interface Filter {
  /** A part of the name of a task or group, or of the word for a state. */
  text: string;
  failuresOnly: boolean;
}

export const NO_FILTER: Filter = { text: "", failuresOnly: false };

/**
 * The rows to show. Without a filter: those that are in no folded group. With one: every task that matches, and the groups it is in,
 * all open, for a match that is folded away is not found. A group that matches by its name brings all that is in it.
 */
export function visibleRows(
  rows: readonly Row[],
  open: ReadonlySet<string>,
  filter: Filter,
  answer: Pick<GridAnswer, "runs" | "cells" | "states">,
  wordOf: (state: string) => string,
): Row[] {
  const text = filter.text.trim().toLowerCase();
  if (text === "" && !filter.failuresOnly) return rows.filter(shownUnder(rows, open));

  const wantedStates = new Set(
    [...new Set(["none", ...answer.states.map((state) => state ?? "none"), ...SEVERITY])].filter(
      (state) => text !== "" && (state.includes(text) || wordOf(state).toLowerCase().includes(text)),
    ),
  );
  const byText = new Set<number>();
  const byFailure = new Set<number>();
  if (wantedStates.size > 0 || filter.failuresOnly) {
    for (const run of answer.runs) {
      const cells = answer.cells[run.dag_run_id] ?? [];
      for (let task = 0; task < cells.length; task++) {
        const cell = cells[task];
        if (cell === null || cell === undefined) continue;
        const found = Array.isArray(cell) ? [answer.states[cell[0]] ?? "none"] : Object.keys(cell.counts);
        for (const state of found) {
          if (wantedStates.has(state)) byText.add(task);
          if (isFailure(state)) byFailure.add(task);
        }
      }
    }
  }
  const parents = new Map(rows.map((row) => [row.id, row]));
  const named = (row: Row): boolean =>
    row.id.toLowerCase().includes(text) ||
    row.label.toLowerCase().includes(text) ||
    (row.parent !== null && named(parents.get(row.parent) as Row));
  const kept = new Set<string>();
  for (const row of rows) {
    if (row.kind !== "task") continue;
    if (filter.failuresOnly && !byFailure.has(row.task)) continue;
    if (text !== "" && !byText.has(row.task) && !named(row)) continue;
    for (let id: string | null = row.id; id !== null && !kept.has(id); id = parents.get(id)?.parent ?? null)
      kept.add(id);
  }
  return rows.filter((row) => kept.has(row.id));
}

function shownUnder(rows: readonly Row[], open: ReadonlySet<string>) {
  const hidden = new Set<string>();
  for (const row of rows) {
    if (row.parent !== null && (hidden.has(row.parent) || !open.has(row.parent))) hidden.add(row.id);
  }
  return (row: Row) => !hidden.has(row.id);
}
