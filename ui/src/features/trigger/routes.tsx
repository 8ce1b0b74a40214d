import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagQuery, recentRunsQuery } from "../../api/queries";

/** The form that triggers a DAG, over the page of the DAG. */
export const triggerRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "trigger",
    loader: prefetch(({ dagId = "" }) => [dagQuery(dagId), recentRunsQuery(dagId)]),
    lazy: { Component: async () => (await import("./TriggerSheet")).TriggerSheet },
  },
];
