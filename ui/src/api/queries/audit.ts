import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { client, ok } from "../client";
import type { components } from "../schema";

export type AuditRow = components["schemas"]["EventLogResponse"];

export const AUDIT_PER_PAGE = 50;

export interface AuditFilter {
  /** Null: of all DAGs. */
  dagId: string | null;
  runId: string | null;
  taskId: string | null;
  owner: string | null;
  event: string | null;
  /** Also what nobody did: the scheduler's own rows. */
  everybody: boolean;
  after: string | null;
  before: string | null;
  page: number;
}

/** Newest first. Not kept up by itself: rows must not move under the pointer of who reads them. */
export const auditQuery = (filter: AuditFilter) =>
  queryOptions({
    queryKey: ["audit", filter],
    queryFn: ({ signal }) => {
      const query = {
        limit: AUDIT_PER_PAGE,
        offset: (filter.page - 1) * AUDIT_PER_PAGE,
        order_by: ["-when"],
        ...(filter.dagId === null ? {} : { dag_id: filter.dagId }),
        ...(filter.runId === null ? {} : { run_id: filter.runId }),
        ...(filter.taskId === null ? {} : { task_id: filter.taskId }),
        ...(filter.event === null ? {} : { event_pattern: filter.event }),
        ...(filter.after === null ? {} : { after: filter.after }),
        ...(filter.before === null ? {} : { before: filter.before }),
        // Rows without an owner match no pattern.
        ...(filter.owner !== null ? { owner_pattern: filter.owner } : filter.everybody ? {} : { owner_pattern: "%" }),
      };
      return ok(client.GET("/api/v2/eventLogs", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
  });
