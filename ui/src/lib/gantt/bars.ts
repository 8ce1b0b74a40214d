/** The bars of a Gantt chart: each try of each task, what it waited and what it ran; and the path that made the run as long as it is. */
import { isFinished } from "../states";
import type { Span } from "./scale";

/** One try of one task instance, as the API tells it. */
export interface Try {
  task_id: string;
  map_index: number;
  try_number: number;
  state: string | null;
  scheduled_when: string | null;
  queued_when: string | null;
  start_date: string | null;
  end_date: string | null;
}

export interface Bar {
  taskId: string;
  mapIndex: number;
  tryNumber: number;
  state: string | null;
  /** From being put in the queue to the start; null when nothing was waited for. */
  queued: Span | null;
  /** Null: it has not started. */
  run: Span | null;
}

const NEVER_RAN: ReadonlySet<string | null> = new Set(["upstream_failed", "skipped", "removed"]);

const ms = (iso: string | null) => (iso === null ? null : Date.parse(iso));

/** Null: the try took no time at all (it was skipped, or never came to be queued). */
export function barOf(of: Try, now: number): Bar | null {
  const start = ms(of.start_date);
  const end = ms(of.end_date) ?? (isFinished(of.state) ? start : now);
  // A time of the try before is not this one's: the queue comes before the start.
  const asked = ms(of.queued_when);
  const until = start ?? (isFinished(of.state) ? null : now);
  const queued = asked !== null && until !== null && until > asked ? { from: asked, to: until } : null;
  const took = start === null || end === null ? null : { from: start, to: Math.max(start, end) };
  // What never ran has the time of its decision, and no bar.
  const run = took !== null && NEVER_RAN.has(of.state) && took.to - took.from < 1_000 ? null : took;
  if (queued === null && run === null) return null;
  const { task_id, map_index, try_number, state } = of;
  return { taskId: task_id, mapIndex: map_index, tryNumber: try_number, state, queued, run };
}

export const spansOf = (bars: readonly Bar[]): Span[] =>
  bars.flatMap(({ queued, run }) => [queued, run].filter((span) => span !== null));

/** From the first thing that happens to the last; for a folded group or a mapped task. */
export function envelope(bars: readonly Bar[]): Span | null {
  const spans = spansOf(bars);
  if (spans.length === 0) return null;
  return { from: Math.min(...spans.map(({ from }) => from)), to: Math.max(...spans.map(({ to }) => to)) };
}

/**
 * The tasks that made the run as long as it is: the one that ended last, the upstream one of it that ended last, and so on. A task
 * that has not run is not on it; the path goes through it to what it waited for.
 */
export function criticalPath(bars: readonly Bar[], edges: readonly { source: string; target: string }[]): Set<string> {
  const end = new Map<string, number>();
  for (const { taskId, run } of bars) {
    if (run !== null) end.set(taskId, Math.max(end.get(taskId) ?? -Infinity, run.to));
  }
  const upstream = new Map<string, string[]>();
  for (const { source, target } of edges) upstream.set(target, [...(upstream.get(target) ?? []), source]);
  const latest = (ids: Iterable<string>) => {
    let found: string | null = null;
    for (const id of ids) {
      const at = end.get(id);
      if (at !== undefined && (found === null || at > (end.get(found) ?? -Infinity))) found = id;
    }
    return found;
  };
  /** The nearest tasks upstream that have run. */
  const before = (id: string) => {
    const found = new Set<string>();
    const seen = new Set<string>();
    const look = [...(upstream.get(id) ?? [])];
    for (let each = look.pop(); each !== undefined; each = look.pop()) {
      if (seen.has(each)) continue;
      seen.add(each);
      if (end.has(each)) found.add(each);
      else look.push(...(upstream.get(each) ?? []));
    }
    return found;
  };
  const path = new Set<string>();
  for (let at = latest(end.keys()); at !== null && !path.has(at); at = latest(before(at))) path.add(at);
  return path;
}
