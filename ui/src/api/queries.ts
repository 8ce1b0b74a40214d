/** One `queryOptions` per endpoint: its key, how it is fetched, how often it is asked again. */
import { keepPreviousData, QueryClient, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../lib/live";
import { isFinished } from "../lib/states";
import { client, ok, type DagRunState, type TaskInstance } from "./client";
import { ApiError } from "./errors";

export const DAGS_PER_PAGE = 50;
export const RUNS_PER_PAGE = 25;
/** The most that the API gives at once. */
export const TASKS_PER_PAGE = 100;

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 1_000,
        // Client errors do not go away by asking again; a poll that failed is retried by the next poll.
        retry: (failures, error) =>
          failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
        retryDelay: (attempt) => 500 * 2 ** attempt,
        // Ask although the browser thinks it is offline: the server may be on this machine.
        networkMode: "always",
      },
      mutations: { networkMode: "always" },
    },
  });
}

export const dagsQuery = ({ q, page }: { q: string; page: number }) =>
  queryOptions({
    queryKey: ["dags", "list", q, page],
    queryFn: ({ signal }) => {
      const query = {
        limit: DAGS_PER_PAGE,
        offset: (page - 1) * DAGS_PER_PAGE,
        order_by: ["dag_id"],
        ...(q === "" ? {} : { dag_id_pattern: q }),
      };
      return ok(client.GET("/api/v2/dags", { params: { query }, signal }));
    },
    refetchInterval: () => pollInterval(false),
  });

export const dagQuery = (dagId: string) =>
  queryOptions({
    queryKey: ["dags", "details", dagId],
    queryFn: ({ signal }) =>
      ok(client.GET("/api/v2/dags/{dag_id}/details", { params: { path: { dag_id: dagId } }, signal })),
    refetchInterval: () => pollInterval(false),
  });

export const importErrorsQuery = () =>
  queryOptions({
    queryKey: ["importErrors"],
    queryFn: ({ signal }) => ok(client.GET("/api/v2/importErrors", { params: { query: { limit: 100 } }, signal })),
    refetchInterval: () => pollInterval(false),
  });

export interface RunsFilter {
  /** `~` for the runs of all DAGs. */
  dagId: string;
  state: DagRunState | null;
  page: number;
  limit?: number;
}

/** Newest first. */
export const runsQuery = ({ dagId, state, page, limit = RUNS_PER_PAGE }: RunsFilter) =>
  queryOptions({
    queryKey: ["runs", dagId, state, page, limit],
    queryFn: ({ signal }) => {
      const query = {
        limit,
        offset: (page - 1) * limit,
        order_by: ["-run_after"],
        ...(state ? { state: [state] } : {}),
      };
      return ok(client.GET("/api/v2/dags/{dag_id}/dagRuns", { params: { path: { dag_id: dagId }, query }, signal }));
    },
    refetchInterval: ({ state: { data } }) =>
      pollInterval(data?.dag_runs.some((run) => !isFinished(run.state)) ?? false),
  });

export const runQuery = (dagId: string, runId: string) =>
  queryOptions({
    queryKey: ["run", dagId, runId],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId };
      return ok(client.GET("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}", { params: { path }, signal }));
    },
    refetchInterval: ({ state: { data } }) => pollInterval(data !== undefined && !isFinished(data.state)),
  });

export const taskInstancesQuery = (dagId: string, runId: string, page: number) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "taskInstances", page],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId };
      const query = { limit: TASKS_PER_PAGE, offset: (page - 1) * TASKS_PER_PAGE };
      return ok(
        client.GET("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", { params: { path, query }, signal }),
      );
    },
    refetchInterval: ({ state: { data } }) =>
      pollInterval(data?.task_instances.some((task) => !isFinished(task.state)) ?? false),
  });

export interface TaskKey {
  dagId: string;
  runId: string;
  taskId: string;
  mapIndex: number;
}

export const taskInstanceQuery = ({ dagId, runId, taskId, mapIndex }: TaskKey) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "taskInstance", taskId, mapIndex],
    queryFn: ({ signal }): Promise<TaskInstance> => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId };
      const one = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}";
      return mapIndex < 0
        ? ok(client.GET(one, { params: { path }, signal }))
        : ok(client.GET(`${one}/{map_index}`, { params: { path: { ...path, map_index: mapIndex } }, signal }));
    },
    refetchInterval: ({ state: { data } }) => pollInterval(data !== undefined && !isFinished(data.state)),
  });

/** Finished and current tries of one task, for their states. */
export const triesQuery = ({ dagId, runId, taskId, mapIndex }: TaskKey, tryNumber: number) =>
  queryOptions({
    // The number of tries is in the key: a new try makes the last one history.
    queryKey: ["run", dagId, runId, "tries", taskId, mapIndex, tryNumber],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId };
      const query = { map_index: mapIndex };
      return ok(
        client.GET("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries", {
          params: { path, query },
          signal,
        }),
      );
    },
    placeholderData: keepPreviousData,
  });

/** How each try was carried out; more is known with every change of the task's state, hence the state in the key. */
export const tryFactsQuery = ({ dagId, runId, taskId, mapIndex }: TaskKey, state: string | null) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "tryFacts", taskId, mapIndex, state],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId };
      const query = mapIndex < 0 ? {} : { map_index: mapIndex };
      return ok(client.GET("/ui/tries/{dag_id}/{dag_run_id}/{task_id}", { params: { path, query }, signal }));
    },
    placeholderData: keepPreviousData,
  });

/** The answer changes with the state of the task, hence the state in the key. */
export const whyQuery = ({ dagId, runId, taskId, mapIndex }: TaskKey, state: string | null) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "why", taskId, mapIndex, state],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId };
      const query = mapIndex < 0 ? {} : { map_index: mapIndex };
      return ok(client.GET("/ui/why/{dag_id}/{dag_run_id}/{task_id}", { params: { path, query }, signal }));
    },
    placeholderData: keepPreviousData,
    refetchInterval: () => pollInterval(false),
  });

/** One page of a log: from the start without a token, else what was written since the token was given. */
export function fetchLog(task: TaskKey, tryNumber: number, token: string | null, signal: AbortSignal) {
  const path = { dag_id: task.dagId, dag_run_id: task.runId, task_id: task.taskId, try_number: tryNumber };
  const query = { map_index: task.mapIndex, ...(token === null ? {} : { token }) };
  return ok(
    client.GET("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}", {
      params: { path, query },
      headers: { accept: "application/json" },
      signal,
    }),
  );
}
