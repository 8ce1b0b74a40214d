/** Lists of runs in windows, with any filter; and what failed in them. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { isFinished } from "../../lib/states";
import { client, ok, type DagRun } from "../client";
import type { paths } from "../schema";

export const RUNS_PER_WINDOW = 100;
/** Of a filter that only this page knows, so many runs are looked through, newest first. */
export const LOOKED_THROUGH = 1_000;

type Query = NonNullable<paths["/api/v2/dags/{dag_id}/dagRuns"]["get"]["parameters"]["query"]>;
export type RunsParameters = Omit<Query, "limit" | "offset">;

const page = (dagId: string, query: RunsParameters, offset: number, signal: AbortSignal) =>
  ok(
    client.GET("/api/v2/dags/{dag_id}/dagRuns", {
      params: { path: { dag_id: dagId }, query: { ...query, limit: RUNS_PER_WINDOW, offset } },
      signal,
    }),
  );

const hasActive = (runs: readonly DagRun[] | undefined) => runs?.some((run) => !isFinished(run.state)) ?? false;

/** `dagId` is `~` for the runs of all DAGs; `window` counts from 0. */
export const runWindowQuery = (dagId: string, query: RunsParameters, window: number) =>
  queryOptions({
    queryKey: ["runs", dagId, "window", query, window],
    queryFn: ({ signal }) => page(dagId, query, window * RUNS_PER_WINDOW, signal),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state: { data } }) => pollInterval(hasActive(data?.dag_runs)),
  });

/** The runs that have a note, among the newest ones: the API has no such filter. */
export const notedRunsQuery = (dagId: string, query: RunsParameters) =>
  queryOptions({
    queryKey: ["runs", dagId, "noted", query],
    queryFn: async ({ signal }) => {
      const found: DagRun[] = [];
      for (let offset = 0; offset < LOOKED_THROUGH; offset += RUNS_PER_WINDOW) {
        const { dag_runs } = await page(dagId, query, offset, signal);
        found.push(...dag_runs.filter((run) => run.note !== null && run.note !== ""));
        if (dag_runs.length < RUNS_PER_WINDOW) break;
      }
      return found;
    },
    placeholderData: keepPreviousData,
    refetchInterval: () => pollInterval(false),
  });

export interface FailedTask {
  taskId: string;
  mapIndex: number;
  tryNumber: number;
}

/** What failed in which of these runs (not what only followed from it), by `dag_id` and `dag_run_id`, one request for all of them. */
export const failedInQuery = (runs: readonly DagRun[]) => {
  const ended = runs.filter((run) => isFinished(run.state));
  return queryOptions({
    queryKey: ["runs", "~", "failedIn", ended.map((run) => `${runKey(run)} ${run.end_date ?? ""}`)],
    queryFn: async ({ signal }) => {
      const answer = await ok(
        client.POST("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list", {
          params: { path: { dag_id: "~", dag_run_id: "~" } },
          body: {
            dag_ids: [...new Set(ended.map((run) => run.dag_id))],
            dag_run_ids: [...new Set(ended.map((run) => run.dag_run_id))],
            state: ["failed"],
            page_limit: 100,
            page_offset: 0,
          },
          signal,
        }),
      );
      const failed: Record<string, FailedTask[]> = {};
      for (const { task_id, map_index, try_number, ...run } of answer.task_instances) {
        (failed[runKey(run)] ??= []).push({ taskId: task_id, mapIndex: map_index, tryNumber: try_number });
      }
      return failed;
    },
    enabled: ended.length > 0,
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });
};

export const runKey = (run: Pick<DagRun, "dag_id" | "dag_run_id">) => `${run.dag_id} ${run.dag_run_id}`;
