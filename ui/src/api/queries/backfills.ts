import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok } from "../client";
import type { components } from "../schema";

export type Backfill = components["schemas"]["BackfillResponse"];
export type BackfillRequest = components["schemas"]["BackfillPostBody"];

export const BACKFILLS_PER_PAGE = 20;

/** Newest first. Below the runs of the DAG: what is told of them makes it stale. */
export const backfillsQuery = (dagId: string, page: number) =>
  queryOptions({
    queryKey: ["runs", dagId, "backfills", page],
    queryFn: ({ signal }) => {
      const query = {
        dag_id: dagId,
        limit: BACKFILLS_PER_PAGE,
        offset: (page - 1) * BACKFILLS_PER_PAGE,
        order_by: ["-id"],
      };
      return ok(client.GET("/api/v2/backfills", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
    refetchInterval: ({ state: { data } }) =>
      pollInterval(data?.backfills.some((one) => one.completed_at === null) ?? false),
  });

/** What a backfill would make, without making it. */
export const dryRunQuery = (body: BackfillRequest | null) =>
  queryOptions({
    queryKey: ["backfillDryRun", body],
    queryFn: ({ signal }) => ok(client.POST("/api/v2/backfills/dry_run", { body: body as BackfillRequest, signal })),
    enabled: body !== null,
    staleTime: 0,
    gcTime: 0,
    placeholderData: keepPreviousData,
  });

const STATES = ["queued", "running", "success", "failed"] as const;
export interface BackfillCounts {
  counts: Record<(typeof STATES)[number], number>;
  /** When the last of its runs is due; null while there is none. */
  last: string | null;
}

/** How many of the runs of a backfill are in which state: of type backfill, within its dates. */
export const backfillCountsQuery = ({ dag_id, id, from_date, to_date, completed_at }: Backfill) =>
  queryOptions({
    queryKey: ["runs", dag_id, "backfillCounts", id],
    queryFn: async ({ signal }): Promise<BackfillCounts> => {
      const count = async (state: (typeof STATES)[number]) => {
        const query = {
          run_type: ["backfill" as const],
          state: [state],
          logical_date_gte: from_date,
          logical_date_lte: to_date,
          limit: 1,
          order_by: ["-run_after"],
        };
        const path = { dag_id };
        const answer = await ok(client.GET("/api/v2/dags/{dag_id}/dagRuns", { params: { path, query }, signal }));
        return { state, total: answer.total_entries ?? 0, last: answer.dag_runs[0]?.run_after ?? null };
      };
      const found = await Promise.all(STATES.map(count));
      return {
        counts: Object.fromEntries(found.map(({ state, total }) => [state, total])) as BackfillCounts["counts"],
        last:
          found
            .flatMap(({ last }) => last ?? [])
            .toSorted((a, b) => Date.parse(a) - Date.parse(b))
            .at(-1) ?? null,
      };
    },
    refetchInterval: () => (completed_at === null ? pollInterval(true) : false),
  });
