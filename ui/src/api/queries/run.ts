import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { isFinished } from "../../lib/states";
import { client, ok, type TaskInstance } from "../client";

/** The most that the API gives at once. */
export const TASKS_PER_PAGE = 100;

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
