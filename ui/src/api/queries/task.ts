/** What is shown of a run and its task instances, beside what `run.ts` asks. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { isFinished } from "../../lib/states";
import { client, ok, type DagRun, type TaskInstance } from "../client";
import type { TaskKey } from "./run";

/** The most that the API gives at once. */
const MOST = 100;
/** Task instances of a run that its page reads at most. */
export const TASKS_SHOWN = 2_000;
const RUN = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}";

export interface RunTasks {
  tasks: TaskInstance[];
  total: number;
}

async function allTasks(
  dagId: string,
  runId: string,
  query: { state?: string[]; task_id?: string },
  signal: AbortSignal,
) {
  const path = { dag_id: dagId, dag_run_id: runId };
  const page = (offset: number) =>
    ok(client.GET(`${RUN}/taskInstances`, { params: { path, query: { limit: MOST, offset, ...query } }, signal }));
  const first = await page(0);
  const total = first.total_entries ?? first.task_instances.length;
  const rest = [];
  for (let offset = MOST; offset < Math.min(total, TASKS_SHOWN); offset += MOST) rest.push(page(offset));
  const tasks = [first, ...(await Promise.all(rest))].flatMap((answer) => answer.task_instances);
  return { tasks, total };
}

/** Every task instance of a run, as far as a page can show them. */
export const runTasksQuery = (dagId: string, runId: string) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "allTasks"],
    queryFn: ({ signal }): Promise<RunTasks> => allTasks(dagId, runId, {}, signal),
    refetchInterval: ({ state: { data } }) =>
      pollInterval(data?.tasks.some((task) => !isFinished(task.state)) ?? false),
  });

/** The instances of one mapped task. */
export const mappedTasksQuery = (dagId: string, runId: string, taskId: string) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "mapped", taskId],
    queryFn: ({ signal }): Promise<RunTasks> => allTasks(dagId, runId, { task_id: taskId }, signal),
    refetchInterval: ({ state: { data } }) =>
      pollInterval(data?.tasks.some((task) => !isFinished(task.state)) ?? false),
  });

/** The last run before one that went well; null when none did. */
export const lastGoodRunQuery = (run: Pick<DagRun, "dag_id" | "dag_run_id" | "run_after">) =>
  queryOptions({
    queryKey: ["runs", run.dag_id, "lastGood", run.dag_run_id],
    queryFn: async ({ signal }) => {
      const path = { dag_id: run.dag_id };
      const query = { state: ["success"], run_after_lt: run.run_after, limit: 1, order_by: ["-run_after"] };
      const answer = await ok(client.GET("/api/v2/dags/{dag_id}/dagRuns", { params: { path, query }, signal }));
      return answer.dag_runs[0] ?? null;
    },
  });

/** Some tasks of a run, in one answer. */
export const tasksOfRunQuery = (run: Pick<DagRun, "dag_id" | "dag_run_id">, taskIds: string[]) =>
  queryOptions({
    queryKey: ["run", run.dag_id, run.dag_run_id, "some", taskIds],
    queryFn: async ({ signal }) => {
      // Only the body may name them.
      const path = { dag_id: "~" as const, dag_run_id: "~" as const };
      const body = { dag_ids: [run.dag_id], dag_run_ids: [run.dag_run_id], task_ids: taskIds, page_limit: MOST };
      return (await ok(client.POST(`${RUN}/taskInstances/list`, { params: { path }, body, signal }))).task_instances;
    },
    placeholderData: keepPreviousData,
  });

/** The last runs of a task, newest first. */
export const taskHistoryQuery = (dagId: string, taskId: string, mapIndex: number) =>
  queryOptions({
    queryKey: ["runs", dagId, "taskHistory", taskId, mapIndex],
    queryFn: async ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: "~" };
      const query = { task_id: taskId, map_index: [mapIndex], limit: 30, order_by: ["-run_after"] };
      const answer = await ok(client.GET(`${RUN}/taskInstances`, { params: { path, query }, signal }));
      return answer.task_instances;
    },
    refetchInterval: () => pollInterval(false),
  });

/** The keys of the values that a task gave. */
export const xcomsQuery = ({ dagId, runId, taskId, mapIndex }: TaskKey, state: string | null) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "xcoms", taskId, mapIndex, state],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId };
      const query = { limit: MOST, ...(mapIndex < 0 ? {} : { map_index: mapIndex }) };
      return ok(client.GET(`${RUN}/taskInstances/{task_id}/xcomEntries`, { params: { path, query }, signal }));
    },
    placeholderData: keepPreviousData,
  });

export const xcomQuery = ({ dagId, runId, taskId, mapIndex }: TaskKey, key: string, timestamp: string) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "xcom", taskId, mapIndex, key, timestamp],
    queryFn: async ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId, xcom_key: key };
      const query = { deserialize: true, map_index: mapIndex };
      const answer = await ok(
        client.GET(`${RUN}/taskInstances/{task_id}/xcomEntries/{xcom_key}`, { params: { path, query }, signal }),
      );
      // Two shapes in the document: ours is the one with the value as JSON.
      return (answer as { value?: unknown }).value;
    },
    staleTime: Infinity,
  });

/** The values that the tasks of a run gave: their keys. */
export const runXcomsQuery = (dagId: string, runId: string) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "runXcoms"],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: "~" };
      const query = { limit: MOST };
      return ok(client.GET(`${RUN}/taskInstances/{task_id}/xcomEntries`, { params: { path, query }, signal }));
    },
  });

/** What people and the scheduler did to a run, or to one task of it; newest first. */
export const runEventsQuery = (dagId: string, runId: string, taskId: string | null) =>
  infiniteQueryOptions({
    queryKey: ["run", dagId, runId, "events", taskId],
    queryFn: ({ signal, pageParam }) => {
      const query = {
        dag_id: dagId,
        run_id: runId,
        limit: MOST,
        offset: pageParam,
        order_by: ["-when"],
        ...(taskId === null ? {} : { task_id: taskId }),
      };
      return ok(client.GET("/api/v2/eventLogs", { params: { query }, signal }));
    },
    initialPageParam: 0,
    getNextPageParam: (last, pages) => {
      const seen = pages.reduce((sum, page) => sum + page.event_logs.length, 0);
      return last.event_logs.length > 0 && seen < (last.total_entries ?? 0) ? seen : undefined;
    },
  });

/** What a task asks a person. */
export const hitlQuery = ({ dagId, runId, taskId, mapIndex }: TaskKey) =>
  queryOptions({
    queryKey: ["run", dagId, runId, "hitl", taskId, mapIndex],
    queryFn: ({ signal }) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId, map_index: mapIndex };
      return ok(client.GET(`${RUN}/taskInstances/{task_id}/{map_index}/hitlDetails`, { params: { path }, signal }));
    },
  });
