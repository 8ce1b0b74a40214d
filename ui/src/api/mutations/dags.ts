import { useMutation, useQueryClient } from "@tanstack/react-query";

import { client, ok } from "../client";

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
