import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagQuery, recentRunsQuery } from "../../api/queries";

/** Tabs of a DAG; their paths are relative to it (`DAG_TABS`). */
export const graphTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "graph",
    loader: prefetch(({ dagId = "" }) => [dagQuery(dagId), recentRunsQuery(dagId)]),
    lazy: { Component: async () => (await import("./GraphTab")).GraphTab },
  },
];
