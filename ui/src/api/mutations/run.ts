import { useMutation, useQueryClient } from "@tanstack/react-query";

import { client, ok } from "../client";

export interface ClearRequest {
  dagId: string;
  runId: string;
  /** Null: every task of the run that `onlyFailed` lets through. */
  task: { taskId: string; mapIndex: number } | null;
  onlyFailed: boolean;
  includeDownstream: boolean;
}

function clearTasks(
  { dagId, runId, task, onlyFailed, includeDownstream }: ClearRequest,
  dry_run: boolean,
  signal?: AbortSignal,
) {
  const body = {
    dry_run,
    dag_run_id: runId,
    only_failed: onlyFailed,
    include_downstream: includeDownstream,
    ...(task === null
      ? {}
      : { task_ids: [task.mapIndex < 0 ? task.taskId : ([task.taskId, task.mapIndex] as [string, number])] }),
  };
  return ok(
    client.POST("/api/v2/dags/{dag_id}/clearTaskInstances", { params: { path: { dag_id: dagId } }, body, signal }),
  );
}

/** What `useClear` would clear; changes nothing. */
export const clearPreview = (request: ClearRequest) => ({
  queryKey: ["clearPreview", request] as const,
  queryFn: ({ signal }: { signal: AbortSignal }) => clearTasks(request, true, signal),
  staleTime: 0,
  gcTime: 0,
});

export function useClear() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (request: ClearRequest) => clearTasks(request, false),
    onSuccess: (_, { dagId, runId }) =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ["run", dagId, runId] }),
        queries.invalidateQueries({ queryKey: ["runs"] }),
      ]),
  });
}
