import { queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok } from "../client";

export const DAGS_PER_PAGE = 50;

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

/** The tasks of the newest version. */
export const tasksQuery = (dagId: string) =>
  queryOptions({
    queryKey: ["dags", "details", dagId, "tasks"],
    queryFn: ({ signal }) =>
      ok(client.GET("/api/v2/dags/{dag_id}/tasks", { params: { path: { dag_id: dagId } }, signal })),
    staleTime: 60_000,
  });
