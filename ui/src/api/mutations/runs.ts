/** What is done to many runs at once. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";

import { client, ok, type DagRun } from "../client";
import { ApiError, detailText } from "../errors";

type Runs = readonly Pick<DagRun, "dag_id" | "dag_run_id">[];

/** Of one DAG by its id; of several by `~`, and then each entity names its own. */
const pathOf = (runs: Runs) => {
  const ids = new Set(runs.map((run) => run.dag_id));
  const [first] = ids;
  return { dag_id: ids.size === 1 && first !== undefined ? first : "~" };
};
const entities = (runs: Runs) => runs.map(({ dag_id, dag_run_id }) => ({ dag_id, dag_run_id }));

async function clearRuns(runs: Runs, onlyFailed: boolean, dry_run: boolean, signal?: AbortSignal) {
  const answer = await ok(
    client.POST("/api/v2/dags/{dag_id}/clearDagRuns", {
      params: { path: pathOf(runs) },
      body: { dag_runs: entities(runs), only_failed: onlyFailed, dry_run },
      ...(signal === undefined ? {} : { signal }),
    }),
  );
  return answer as {
    task_instances?: { dag_id: string; dag_run_id: string; task_id: string }[];
    total_entries: number;
  };
}

/** The task instances that `clear` would run again. */
export const clearRunsPreview = (runs: Runs, onlyFailed: boolean) =>
  queryOptions({
    queryKey: ["clearRuns", entities(runs), onlyFailed],
    queryFn: ({ signal }) => clearRuns(runs, onlyFailed, true, signal),
    staleTime: 0,
    gcTime: 0,
  });

export type BulkAction =
  { do: "clear"; onlyFailed: boolean } | { do: "mark"; state: "success" | "failed" } | { do: "delete" };

/** What could not be done is thrown as one error that names each; what could be done has been done. */
async function work(runs: Runs, action: BulkAction) {
  if (action.do === "clear") return clearRuns(runs, action.onlyFailed, false);
  const answer = await ok(
    client.PATCH("/api/v2/dags/{dag_id}/dagRuns", {
      params: { path: pathOf(runs) },
      body: {
        actions: [
          action.do === "mark"
            ? {
                action: "update" as const,
                action_on_non_existence: "skip" as const,
                entities: entities(runs).map((run) => ({ ...run, state: action.state })),
              }
            : { action: "delete" as const, action_on_non_existence: "skip" as const, entities: entities(runs) },
        ],
      },
    }),
  );
  const errors = [...(answer.update?.errors ?? []), ...(answer.delete?.errors ?? [])] as { error?: unknown }[];
  if (errors.length > 0) {
    throw new ApiError(409, errors.map(({ error }) => detailText({ detail: error }) ?? "").join("; "));
  }
  return answer;
}

export function useBulkRuns() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ runs, action }: { runs: Runs; action: BulkAction }) => work(runs, action),
    onSettled: () => queries.invalidateQueries({ queryKey: ["runs"] }),
  });
}
