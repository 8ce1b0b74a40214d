/** What is done to a run and its task instances: clear, mark, note, delete. Each knows what it would touch before it does. */
import { useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";

import { client, ok, type TaskInstance } from "../client";

const DAG = "/api/v2/dags/{dag_id}";
const RUN = `${DAG}/dagRuns/{dag_run_id}`;

export interface TaskRef {
  taskId: string;
  /** -1: the task that is not mapped, or every instance of a mapped one. */
  mapIndex: number;
}

export interface Reach {
  past: boolean;
  future: boolean;
  upstream: boolean;
  downstream: boolean;
  onlyFailed: boolean;
}

export interface Clearing extends Reach {
  dagId: string;
  runId: string;
  /** Null: every task of the run. */
  tasks: TaskRef[] | null;
  note: string | null;
}

const refs = (tasks: TaskRef[]) =>
  tasks.map(({ taskId, mapIndex }) => (mapIndex < 0 ? taskId : ([taskId, mapIndex] as [string, number])));

export async function clear(what: Clearing, dry_run: boolean, signal?: AbortSignal): Promise<TaskInstance[]> {
  const body = {
    dry_run,
    dag_run_id: what.runId,
    only_failed: what.onlyFailed,
    include_past: what.past,
    include_future: what.future,
    include_upstream: what.upstream,
    include_downstream: what.downstream,
    ...(what.tasks === null ? {} : { task_ids: refs(what.tasks) }),
    ...(what.note === null || what.note === "" ? {} : { note: what.note }),
  };
  const params = { path: { dag_id: what.dagId } };
  const answer = await ok(
    client.POST(`${DAG}/clearTaskInstances`, { params, body, ...(signal === undefined ? {} : { signal }) }),
  );
  return answer.task_instances as TaskInstance[];
}

export type MarkState = "success" | "failed" | "skipped";

export interface Marking extends Omit<Reach, "onlyFailed"> {
  dagId: string;
  runId: string;
  task: TaskRef;
  state: MarkState;
  note: string | null;
}

export async function mark(what: Marking, dryRun: boolean, signal?: AbortSignal): Promise<TaskInstance[]> {
  const { taskId, mapIndex } = what.task;
  const body = {
    new_state: what.state,
    include_past: what.past,
    include_future: what.future,
    include_upstream: what.upstream,
    include_downstream: what.downstream,
    ...(what.note === null || what.note === "" ? {} : { note: what.note }),
  };
  const path = { dag_id: what.dagId, dag_run_id: what.runId, task_id: taskId };
  const query = mapIndex < 0 ? {} : { map_index: mapIndex };
  const how = { params: { path, query }, body, ...(signal === undefined ? {} : { signal }) };
  const one = `${RUN}/taskInstances/{task_id}` as const;
  const answer = await ok(dryRun ? client.PATCH(`${one}/dry_run`, how) : client.PATCH(one, how));
  return answer.task_instances;
}

async function changed(queries: QueryClient, dagId: string, runId: string) {
  await Promise.all([
    queries.invalidateQueries({ queryKey: ["run", dagId, runId] }),
    queries.invalidateQueries({ queryKey: ["runs"] }),
    queries.invalidateQueries({ queryKey: ["home"] }),
  ]);
}

export function useClearTasks() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (what: Clearing) => clear(what, false),
    onSuccess: (_, { dagId, runId }) => changed(queries, dagId, runId),
  });
}

export function useMarkTasks() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (what: Marking) => mark(what, false),
    onSuccess: (_, { dagId, runId }) => changed(queries, dagId, runId),
  });
}

/** A note of a task instance; an empty one deletes it. */
export function useTaskNote(dagId: string, runId: string, { taskId, mapIndex }: TaskRef) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (note: string) => {
      const path = { dag_id: dagId, dag_run_id: runId, task_id: taskId };
      const query = { update_mask: ["note"], ...(mapIndex < 0 ? {} : { map_index: mapIndex }) };
      return ok(client.PATCH(`${RUN}/taskInstances/{task_id}`, { params: { path, query }, body: { note } }));
    },
    onSuccess: () => changed(queries, dagId, runId),
  });
}

/** Marks a run, which ends what of it still runs; or notes something about it. */
export function useChangeRun(dagId: string, runId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { state?: "queued" | "success" | "failed"; note?: string }) =>
      ok(client.PATCH(RUN, { params: { path: { dag_id: dagId, dag_run_id: runId } }, body })),
    onSuccess: () => changed(queries, dagId, runId),
  });
}

export function useDeleteRun(dagId: string, runId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => ok(client.DELETE(RUN, { params: { path: { dag_id: dagId, dag_run_id: runId } } })),
    onSuccess: () => {
      queries.removeQueries({ queryKey: ["run", dagId, runId] });
      return queries.invalidateQueries({ queryKey: ["runs"] });
    },
  });
}
