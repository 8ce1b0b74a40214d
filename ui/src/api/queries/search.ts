import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { getOwn } from "../client";

export interface Found {
  dags: { dag_id: string; dag_display_name: string; is_paused: boolean }[];
  tasks: { dag_id: string; task_id: string }[];
  runs: { dag_id: string; dag_run_id: string; state: string; run_after: string }[];
  assets: { id: number; name: string; uri: string }[];
}

/** What is called so, a few of each kind. */
export const searchQuery = (q: string) =>
  queryOptions({
    queryKey: ["search", q],
    queryFn: ({ signal }) => getOwn<Found>("/ui/search", { q, limit: 8 }, signal),
    enabled: q !== "",
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });
