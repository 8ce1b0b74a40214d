/** What the dashboard changes, and which queries each change makes stale. */
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { client, ok } from "./client";
import { session } from "./session";

export const useLogin = () =>
  useMutation({
    mutationFn: (body: { username: string; password: string }) => ok(client.POST("/ui/login", { body })),
    onSuccess: () => session.begin(),
  });

/** Ends the login: the server revokes it and takes back the cookie. */
export const useLogout = () =>
  useMutation({
    // It answers with a redirect to the login page, which is where we go anyway.
    mutationFn: () => fetch(`${window.location.origin}/api/v2/auth/logout`, { redirect: "manual" }),
    // Also when the server is away: this tab is signed out, and that the cookie is still there shows at the next request.
    onSettled: () => session.end(),
  });

export function useSetPaused(dagId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (is_paused: boolean) =>
      ok(client.PATCH("/api/v2/dags/{dag_id}", { params: { path: { dag_id: dagId } }, body: { is_paused } })),
    // Returned, so that the mutation is pending (and the switch shows the wish) until the new state is there.
    onSettled: () => queries.invalidateQueries({ queryKey: ["dags"] }),
  });
}

export function useTrigger(dagId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () =>
      ok(
        client.POST("/api/v2/dags/{dag_id}/dagRuns", {
          params: { path: { dag_id: dagId } },
          body: { logical_date: null },
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["runs"] }),
  });
}

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
