import { queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { isFinished } from "../../lib/states";
import { client, ok, type DagRunState } from "../client";

export const RUNS_PER_PAGE = 25;

export interface RunsFilter {
  /** `~` for the runs of all DAGs. */
  dagId: string;
  state: DagRunState | null;
  page: number;
  limit?: number;
}

/** Newest first. */
export const runsQuery = ({ dagId, state, page, limit = RUNS_PER_PAGE }: RunsFilter) =>
  queryOptions({
    queryKey: ["runs", dagId, state, page, limit],
    queryFn: ({ signal }) => {
      const query = {
        limit,
        offset: (page - 1) * limit,
        order_by: ["-run_after"],
        ...(state ? { state: [state] } : {}),
      };
      return ok(client.GET("/api/v2/dags/{dag_id}/dagRuns", { params: { path: { dag_id: dagId }, query }, signal }));
    },
    refetchInterval: ({ state: { data } }) =>
      pollInterval(data?.dag_runs.some((run) => !isFinished(run.state)) ?? false),
  });
