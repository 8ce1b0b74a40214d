/** The runs of a DAG times its tasks, kept true by what the server tells; and the calendar of its runs. */
import { keepPreviousData, queryOptions, type QueryClient } from "@tanstack/react-query";

import { joined } from "../../lib/grid/patch";
import type { GridAnswer } from "../../lib/grid/types";
import { pollInterval } from "../../lib/live";
import { isFinished } from "../../lib/states";
import { client, ok, type TaskInstance } from "../client";

/** So many runs at first, and with each step back. */
export const RUNS_PER_STEP = 28;
/** The most that is asked for at once when all is read anew. */
const MOST = 100;

export interface GridFilter {
  dagId: string;
  runType: string | null;
  state: string | null;
}

export interface Grid extends GridAnswer {
  /** Whether there may be runs before the oldest one here. */
  hasOlder: boolean;
}

interface Part {
  /** How many runs, the newest first. */
  limit: number;
  /** Only runs due before this time. */
  before?: string;
}

export async function fetchGrid({ dagId, runType, state }: GridFilter, part: Part, signal?: AbortSignal) {
  const query = {
    ...part,
    ...(runType === null ? {} : { run_type: [runType] }),
    ...(state === null ? {} : { state: [state] }),
  };
  const params = { path: { dag_id: dagId }, query };
  const answer = await ok(client.GET("/ui/grid/{dag_id}", { params, ...(signal ? { signal } : {}) }));
  // The client's types make plain arrays of tuples.
  return answer as GridAnswer;
}

/** All filters of one DAG begin with this. */
export const gridKey = (dagId: string) => ["grid", dagId] as const;

export const gridQuery = (filter: GridFilter) => {
  const queryKey = [...gridKey(filter.dagId), filter.runType, filter.state] as const;
  return queryOptions({
    queryKey,
    queryFn: async ({ signal, client: queries }): Promise<Grid> => {
      const before = queries.getQueryData<Grid>(queryKey);
      const limit = Math.min(Math.max(RUNS_PER_STEP, before?.runs.length ?? 0), MOST);
      const answer = await fetchGrid(filter, { limit }, signal);
      // What was loaded beyond what is asked for at once stays.
      const more = before !== undefined && before.runs.length > limit;
      return more
        ? { ...joined([answer, before]), hasOlder: before.hasOlder }
        : { ...answer, hasOlder: answer.runs.length >= limit };
    },
    refetchInterval: ({ state: { data } }) => pollInterval(data?.runs.some((run) => !isFinished(run.state)) ?? false),
  });
};

/** The next runs back in time join those that are here. */
export async function loadOlder(queries: QueryClient, filter: GridFilter) {
  const { queryKey } = gridQuery(filter);
  const oldest = queries.getQueryData(queryKey)?.runs[0];
  if (oldest === undefined) return;
  const older = await fetchGrid(filter, { limit: RUNS_PER_STEP, before: oldest.run_after });
  queries.setQueryData(
    queryKey,
    (now) => now && { ...joined([now, older]), hasOlder: older.runs.length >= RUNS_PER_STEP },
  );
}

/** The newest runs are read anew, so many as can have changed: those from the oldest that goes on, and one more that may be new. */
export async function refreshHead(queries: QueryClient, filter: GridFilter, least: number) {
  const { queryKey } = gridQuery(filter);
  const here = queries.getQueryData(queryKey);
  if (here === undefined) return;
  const active = here.runs.findIndex((run) => !isFinished(run.state));
  const limit = Math.min(Math.max(least, active < 0 ? 1 : here.runs.length - active) + 1, MOST);
  const head = await fetchGrid(filter, { limit });
  queries.setQueryData(queryKey, (now) => now && { ...joined([head, now]), hasOlder: now.hasOlder });
}

export interface CalendarFilter {
  dagId: string;
  /** RFC 3339. */
  from: string;
  to: string;
  granularity: "day" | "hour";
  zone: string;
}

export const calendarQuery = ({ dagId, from, to, granularity, zone }: CalendarFilter) =>
  queryOptions({
    queryKey: ["runs", dagId, "calendar", granularity, from, to, zone],
    queryFn: ({ signal }) =>
      ok(
        client.GET("/ui/calendar/{dag_id}", {
          params: { path: { dag_id: dagId }, query: { from, to, granularity, timezone: zone } },
          signal,
        }),
      ),
    refetchInterval: () => pollInterval(false),
  });

/** So many tasks that were tried again have all their tries on the chart; of the others there is the last one. */
const TRIED_AGAIN = 60;

/** The tries before the last one, of the task instances that had any. */
export const earlierTriesQuery = (dagId: string, runId: string, tasks: readonly TaskInstance[]) => {
  const again = tasks.filter((task) => task.try_number > 1).slice(0, TRIED_AGAIN);
  return queryOptions({
    queryKey: [
      "gantt",
      dagId,
      runId,
      // History does not change: it grows with the number of tries.
      again.map(({ task_id, map_index, try_number }) => `${task_id}[${map_index}]#${try_number}`).join(" "),
    ],
    queryFn: async ({ signal }) => {
      const answers = await Promise.all(
        again.map(({ task_id, map_index }) =>
          ok(
            client.GET("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries", {
              params: { path: { dag_id: dagId, dag_run_id: runId, task_id }, query: { map_index } },
              signal,
            }),
          ),
        ),
      );
      return answers.flatMap(({ task_instances }) => task_instances);
    },
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  });
};
