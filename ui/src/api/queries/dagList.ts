import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import type { Reason } from "../../lib/reasons";
import { getOwn } from "../client";

export interface ListedRun {
  dag_run_id: string;
  state: string;
  run_type: string;
  run_after: string;
  start_date: string | null;
  end_date: string | null;
  duration: number | null;
  failed_tasks: number;
}

export interface ListedDag {
  dag_id: string;
  dag_display_name: string;
  description: string | null;
  is_paused: boolean;
  is_favorite: boolean;
  tags: string[];
  owners: string[];
  timetable_summary: string | null;
  timetable_description: string | null;
  timezone: string | null;
  next_run_after: string | null;
  has_import_errors: boolean;
  relative_fileloc: string;
  /** Oldest first. */
  runs: ListedRun[];
  success_rate: number | null;
  median_duration: number | null;
  why: {
    kind: "failure" | "waiting" | "import_error";
    text: string | null;
    reason?: Reason | null;
    dag_run_id: string | null;
    task_id: string | null;
  } | null;
}

export interface DagList {
  total_entries: number;
  counts: { all: number; failing: number; running: number; waiting: number; paused: number };
  dags: ListedDag[];
}

export const DAG_STATES = ["failed", "running", "waiting"] as const;
export const DAG_ORDERS = ["failing", "name", "-name", "next_run", "-next_run", "last_run", "-last_run"] as const;

export interface DagListFilter {
  q: string;
  tags: string[];
  owners: string[];
  state: (typeof DAG_STATES)[number] | null;
  paused: boolean | null;
  favorite: boolean;
  order: (typeof DAG_ORDERS)[number];
}

/** So many DAGs are asked for at once, when they come into sight. */
export const DAG_WINDOW = 60;

export const dagListQuery = (filter: DagListFilter, window: number) =>
  queryOptions({
    queryKey: ["dags", "list", "window", filter, window],
    queryFn: ({ signal }) => {
      const { q, tags, owners, state, paused, favorite, order } = filter;
      const query = {
        limit: DAG_WINDOW,
        offset: window * DAG_WINDOW,
        q,
        tag: tags,
        owner: owners,
        state,
        paused,
        favorite: favorite || null,
        order_by: order,
      };
      return getOwn<DagList>("/ui/dags", query, signal);
    },
    refetchInterval: () => pollInterval(false),
    ...(window === 0 ? { placeholderData: keepPreviousData } : {}),
  });
