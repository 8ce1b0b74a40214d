import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagQuery } from "../../api/queries";
import { patterns } from "../../paths";

/** The history of a DAG. */
export const auditTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "audit",
    loader: prefetch(({ dagId = "" }) => [dagQuery(dagId)]),
    lazy: { Component: async () => (await import("./AuditTab")).AuditTab },
  },
];

export const auditRoutes = (): RouteObject[] => [
  { path: patterns.audit, lazy: { Component: async () => (await import("./AuditPage")).AuditPage } },
];
