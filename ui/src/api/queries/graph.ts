/** The structure of a DAG, the states of one run over it, its file and its schedule. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import type { GridAnswer } from "../../lib/grid/types";
import { pollInterval } from "../../lib/live";
import { isFinished } from "../../lib/states";
import { client, ok, type DagRun } from "../client";
import { fetchGrid } from "./grid";

/** So many runs can be chosen from without asking for more. */
export const RUNS_TO_CHOOSE = 50;

/** `version`: null for the newest one; the structure of a version never changes. */
export const structureQuery = (dagId: string, version: number | null) =>
  queryOptions({
    queryKey: ["dags", "structure", dagId, version],
    queryFn: ({ signal }) => {
      const query = version === null ? {} : { version_number: version };
      return ok(client.GET("/ui/structure/{dag_id}", { params: { path: { dag_id: dagId }, query }, signal }));
    },
    staleTime: version === null ? 1_000 : Infinity,
    placeholderData: keepPreviousData,
  });

/** Newest first. */
export const recentRunsQuery = (dagId: string) =>
  queryOptions({
    queryKey: ["runs", dagId, "recent"],
    queryFn: ({ signal }) =>
      ok(
        client.GET("/api/v2/dags/{dag_id}/dagRuns", {
          params: { path: { dag_id: dagId }, query: { limit: RUNS_TO_CHOOSE, order_by: ["-run_after"] } },
          signal,
        }),
      ),
    refetchInterval: ({ state: { data } }) =>
      pollInterval(data?.dag_runs.some((run) => !isFinished(run.state)) ?? false),
  });

/** The states of all tasks of one run, in one answer however many there are. */
export const runCellsQuery = (run: Pick<DagRun, "dag_id" | "dag_run_id" | "run_after" | "state">) =>
  queryOptions({
    queryKey: ["run", run.dag_id, run.dag_run_id, "cells"],
    queryFn: async ({ signal }): Promise<GridAnswer> => {
      // Runs due before the moment after this one; another may be due in the same moment.
      const before = new Date(Date.parse(run.run_after) + 1).toISOString();
      const filter = { dagId: run.dag_id, runType: null, state: null };
      const answer = await fetchGrid(filter, { before, limit: 3 }, signal);
      const runs = answer.runs.filter(({ dag_run_id }) => dag_run_id === run.dag_run_id);
      return { ...answer, runs };
    },
    // Thousands of small lists: looking for the ones that stayed the same costs more than it saves.
    structuralSharing: false,
    refetchInterval: () => pollInterval(!isFinished(run.state)),
  });

export const scheduleQuery = (dagId: string, after: string | null) =>
  queryOptions({
    // The time of the next run: when that changes, the list does.
    queryKey: ["dags", "schedule", dagId, after],
    queryFn: ({ signal }) =>
      ok(client.GET("/ui/schedule/{dag_id}", { params: { path: { dag_id: dagId }, query: { count: 10 } }, signal })),
    placeholderData: keepPreviousData,
  });

/** Newest first. `latest`: the newest number that is known, so that a new one is asked for. */
export const versionsQuery = (dagId: string, latest: number | null) =>
  queryOptions({
    queryKey: ["dags", "versions", dagId, latest],
    queryFn: ({ signal }) =>
      ok(
        client.GET("/api/v2/dags/{dag_id}/dagVersions", {
          params: { path: { dag_id: dagId }, query: { limit: 100, order_by: ["-version_number"] } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

export const sourceQuery = (dagId: string, version: number) =>
  queryOptions({
    queryKey: ["dags", "source", dagId, version],
    queryFn: ({ signal }) =>
      ok(
        client.GET("/api/v2/dagSources/{dag_id}", {
          params: { path: { dag_id: dagId }, query: { version_number: version } },
          headers: { accept: "application/json" },
          signal,
        }),
      ),
    staleTime: Infinity,
  });

/** The newest runs of a version of a DAG, and how many there are. */
export const runsOfVersionQuery = (dagId: string, version: number) =>
  queryOptions({
    queryKey: ["runs", dagId, "version", version],
    queryFn: ({ signal }) =>
      ok(
        client.GET("/api/v2/dags/{dag_id}/dagRuns", {
          params: { path: { dag_id: dagId }, query: { dag_version: [version], limit: 1, order_by: ["-run_after"] } },
          signal,
        }),
      ),
  });
