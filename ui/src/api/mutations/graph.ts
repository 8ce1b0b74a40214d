/** What the pages of backfills, assets and the trigger form change. */
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { client, ok } from "../client";
import type { BackfillRequest } from "../queries/backfills";
import type { components } from "../schema";

export type TriggerRequest = components["schemas"]["TriggerDAGRunPostBody"];

export function useTriggerWith(dagId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: TriggerRequest) =>
      ok(client.POST("/api/v2/dags/{dag_id}/dagRuns", { params: { path: { dag_id: dagId } }, body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["runs"] }),
  });
}

export function useCreateBackfill() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: BackfillRequest) => ok(client.POST("/api/v2/backfills", { body })),
    onSuccess: (_, { dag_id }) => queries.invalidateQueries({ queryKey: ["runs", dag_id] }),
  });
}

export function useChangeBackfill(dagId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, to }: { id: number; to: "pause" | "unpause" | "cancel" }) => {
      const params = { path: { backfill_id: id } };
      if (to === "pause") return ok(client.PUT("/api/v2/backfills/{backfill_id}/pause", { params }));
      if (to === "unpause") return ok(client.PUT("/api/v2/backfills/{backfill_id}/unpause", { params }));
      return ok(client.PUT("/api/v2/backfills/{backfill_id}/cancel", { params }));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["runs", dagId] }),
  });
}

export function useCreateAssetEvent() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { asset_id: number; extra: Record<string, unknown> }) =>
      ok(client.POST("/api/v2/assets/events", { body })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["runs", "~"] }),
  });
}

export function useMaterialize() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (assetId: number) =>
      ok(client.POST("/api/v2/assets/{asset_id}/materialize", { params: { path: { asset_id: assetId } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["runs"] }),
  });
}
