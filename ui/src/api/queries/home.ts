import { queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import type { Reason } from "../../lib/reasons";
import { getOwn } from "../client";

export interface FailureItem {
  kind: "failure";
  dag_id: string;
  dag_run_id: string;
  /** Success when the run is green over the failure. */
  run_state: string;
  run_after: string;
  run_type: string;
  /** Null, as what follows it: the run failed and none of its tasks did. */
  task_id: string | null;
  task_display_name: string | null;
  failed_instances: number | null;
  instances: number | null;
  /** Of the first that failed; -1: not mapped. */
  map_index: number | null;
  try_number: number | null;
  max_tries: number | null;
  end_date: string | null;
  failure_class: string | null;
  failure_reason: string | null;
  last_error: string | null;
  hostname: string | null;
}

export interface ImportErrorItem {
  kind: "import_error";
  import_error_id: number;
  filename: string;
  bundle_name: string;
  line: number | null;
  column: number | null;
  message: string;
  timestamp: string;
  /** DAGs whose last good version still runs. */
  dag_ids: string[];
}

export interface ApprovalItem {
  kind: "approval";
  dag_id: string;
  dag_run_id: string;
  task_id: string;
  map_index: number;
  subject: string;
  since: string;
  deadline: string | null;
}

export type NeedsYou = FailureItem | ImportErrorItem | ApprovalItem;

export interface TaskRefSince {
  dag_id: string;
  dag_run_id: string;
  task_id: string | null;
  map_index: number | null;
  since: string | null;
}

export interface Hour {
  start: string;
  success: number;
  failed: number;
  running: number;
  queued: number;
}

export interface Health {
  status: string | null;
  latest_scheduler_heartbeat?: string | null;
  latest_triggerer_heartbeat?: string | null;
  latest_dag_processor_heartbeat?: string | null;
}

export interface PressedPool {
  name: string;
  slots: number;
  occupied: number;
  running: number;
  queued: number;
  /** Those who wait for a slot. */
  scheduled?: number;
  holders: TaskRefSince[];
}

export interface Home {
  needs_you: { total: number; items: NeedsYou[] };
  waiting: {
    total: number;
    groups: { reason: Reason; count: number; since: string | null; examples: TaskRefSince[] }[];
  };
  running: {
    total: number;
    items: {
      dag_id: string;
      dag_run_id: string;
      task_id: string;
      map_index: number;
      try_number: number;
      hostname: string | null;
      start_date: string | null;
      /** Seconds. */
      usual_duration: number | null;
    }[];
  };
  hours: Hour[];
  pools: PressedPool[];
  nodes: { active: number; draining: number; lost: number; offline: number; away: string[] };
  health: { metadatabase: Health; scheduler: Health; dag_processor: Health | null; triggerer: Health | null };
  database_ms: number | null;
  next: { dag_id: string; run_after: string }[];
  dags_total: number;
  runs_24h: number;
}

export const homeQuery = () =>
  queryOptions({
    queryKey: ["home"],
    queryFn: ({ signal }) => getOwn<Home>("/ui/home", {}, signal),
    refetchInterval: () => pollInterval(true),
  });
