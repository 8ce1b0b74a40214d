/** What is drawn: for each row its bars, on one axis. Pure. */
import { barOf, criticalPath, envelope, spansOf, type Bar, type Try } from "../../lib/gantt/bars";
import { scaleOf, type Scale, type Span } from "../../lib/gantt/scale";
import { SEVERITY, type Row } from "../../lib/grid/rows";

export interface Drawn {
  /** Each try of a task that is not mapped. */
  bars: Bar[];
  /** Of a group or a mapped task: from the first thing that happened in it to the last. */
  whole: (Span & { state: string | null; count: number }) | null;
  isCritical: boolean;
}

export interface ChartModel {
  scale: Scale;
  origin: number;
  now: number | null;
  drawn: Map<string, Drawn>;
}

interface Input {
  /** Every row of the DAG. */
  all: readonly Row[];
  /** Those that are shown. */
  rows: readonly Row[];
  tasks: readonly Try[];
  tries: readonly Try[];
  edges: readonly { source: string; target: string }[];
  isCollapsed: boolean;
  /** Null: nothing goes on any more. */
  now: number | null;
}

const worst = (states: readonly (string | null)[]) =>
  SEVERITY.find((state) => states.some((each) => (each ?? "none") === state)) ?? null;

export function chartOf({ all, rows, tasks, tries, edges, isCollapsed, now }: Input): ChartModel {
  const at = now ?? 0;
  const bars = new Map<string, Bar[]>();
  const states = new Map<string, (string | null)[]>();
  const seen = new Set<string>();
  const add = (task: Try, isCurrent: boolean) => {
    const key = `${task.task_id} ${task.map_index} ${task.try_number}`;
    if (seen.has(key)) return;
    seen.add(key);
    const bar = barOf(task, at);
    if (bar !== null) bars.set(task.task_id, [...(bars.get(task.task_id) ?? []), bar]);
    if (isCurrent) states.set(task.task_id, [...(states.get(task.task_id) ?? []), task.state]);
  };
  for (const task of tasks) add(task, true);
  for (const task of tries) add(task, false);
  const every = [...bars.values()].flat();
  const spans = spansOf(every);
  const origin = spans.reduce((first, { from }) => Math.min(first, from), Infinity);
  if (now !== null && Number.isFinite(origin)) spans.push({ from: now, to: now });
  const critical = criticalPath(every, edges);

  const names = new Map(all.flatMap((row) => (row.kind === "task" ? [[row.task, row.id] as const] : [])));
  const drawn = new Map<string, Drawn>();
  for (const row of rows) {
    const ids = row.tasks.flatMap((task) => names.get(task) ?? []);
    const own = ids.flatMap((id) => bars.get(id) ?? []);
    const isWhole = row.kind === "group" || row.isMapped;
    const span = isWhole ? envelope(own) : null;
    const current = ids.flatMap((id) => states.get(id) ?? []);
    drawn.set(row.id, {
      bars: isWhole ? [] : own.toSorted((a, b) => a.tryNumber - b.tryNumber),
      whole: span === null ? null : { ...span, state: worst(current), count: current.length },
      isCritical: row.kind === "task" && critical.has(row.id),
    });
  }
  return { scale: scaleOf(spans, isCollapsed), origin: Number.isFinite(origin) ? origin : 0, now, drawn };
}
