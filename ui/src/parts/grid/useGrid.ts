import { keepPreviousData, useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";

import { subscribeToEvents } from "../../api/events";
import { gridQuery, loadOlder, refreshHead, type Grid, type GridFilter } from "../../api/queries";
import { patched, patchedRun, type TaskChange } from "../../lib/grid/patch";
import type { GridRun } from "../../lib/grid/types";

/** Events of one moment are shown together. */
const FLUSH_MS = 50;
/** The newest runs are read anew at most this often. */
const REFRESH_MS = 1_000;

/** The grid of a DAG, kept true by the events of the server while it is shown. */
export function useGrid(filter: GridFilter) {
  const { dagId, runType, state } = filter;
  const queries = useQueryClient();
  const query = useQuery({ ...gridQuery(filter), placeholderData: keepPreviousData });
  useEffect(() => follow(queries, { dagId, runType, state }), [queries, dagId, runType, state]);

  const [older, setOlder] = useState<"idle" | "loading" | "failed">("idle");
  const showOlder = useCallback(async () => {
    setOlder("loading");
    try {
      await loadOlder(queries, { dagId, runType, state });
      setOlder("idle");
    } catch {
      setOlder("failed");
    }
  }, [queries, dagId, runType, state]);
  return { ...query, older, showOlder };
}

function follow(queries: QueryClient, filter: GridFilter): () => void {
  const { queryKey } = gridQuery(filter);
  let changes: ((grid: Grid) => Grid)[] = [];
  let flushTimer: ReturnType<typeof setTimeout> | undefined;
  let refreshTimer: ReturnType<typeof setTimeout> | undefined;
  let lastRefresh = 0;
  let least = 0;
  let isOver = false;

  const flush = () => {
    flushTimer = undefined;
    const now = changes;
    changes = [];
    queries.setQueryData<Grid>(queryKey, (grid) => grid && now.reduce((all, change) => change(all), grid));
  };
  const change = (by: (grid: Grid) => Grid) => {
    changes.push(by);
    flushTimer ??= setTimeout(flush, FLUSH_MS);
  };
  /** `runId` null: a run that is not here yet. */
  const refresh = (runId: string) => {
    const runs = queries.getQueryData<Grid>(queryKey)?.runs ?? [];
    const at = runs.findIndex((run) => run.dag_run_id === runId);
    least = Math.max(least, at < 0 ? 1 : runs.length - at);
    if (refreshTimer !== undefined || isOver) return;
    const work = async () => {
      lastRefresh = Date.now();
      const wanted = least;
      least = 0;
      // A failure is the connection's: the bar on top says so, and all is read anew when the server is back.
      await refreshHead(queries, filter, wanted).catch(() => undefined);
      refreshTimer = undefined;
      if (least > 0) refresh(runId);
    };
    refreshTimer = setTimeout(() => void work(), Math.max(FLUSH_MS, lastRefresh + REFRESH_MS - Date.now()));
  };

  const unsubscribe = subscribeToEvents(({ name, data }) => {
    if (!["dag", "dag_run", "task_instance", "task_instances"].includes(name)) return;
    const told = JSON.parse(data) as TaskChange & { dag_id: string; run_type: string; deleted?: boolean };
    if (told.dag_id !== filter.dagId) return;
    const runId = told.dag_run_id;
    const known = () => queries.getQueryData<Grid>(queryKey)?.runs.some((run) => run.dag_run_id === runId) ?? false;
    switch (name) {
      case "dag":
        refresh("");
        break;
      case "dag_run":
        if (told.deleted === true) {
          change((grid) => ({ ...grid, runs: grid.runs.filter((run) => run.dag_run_id !== runId) }));
        } else {
          const state = told.state as GridRun["state"];
          if (known()) change((grid) => ({ ...grid, ...patchedRun(grid, { dag_run_id: runId, state }) }));
          // Its times, or the run itself, only the server knows.
          refresh(runId);
        }
        break;
      case "task_instances":
        refresh(runId);
        break;
      default:
        if (!known()) break;
        if (told.map_index >= 0 || told.deleted === true) refresh(runId);
        else {
          const at = Date.now();
          change((grid) => {
            const next = patched(grid, told, at);
            return next === grid ? grid : { ...grid, ...next };
          });
        }
    }
  });
  return () => {
    isOver = true;
    unsubscribe();
    clearTimeout(flushTimer);
    clearTimeout(refreshTimer);
  };
}
