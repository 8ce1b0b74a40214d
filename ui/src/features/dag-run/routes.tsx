import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { runQuery } from "../../api/queries";
import { runTasksQuery } from "../../api/queries/task";
import { patterns } from "../../paths";

/** The page of a run. */
export const runRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: `${patterns.run}/:tab?`,
    loader: prefetch(({ dagId = "", runId = "" }) => [runQuery(dagId, runId), runTasksQuery(dagId, runId)]),
    lazy: { Component: async () => (await import("./RunPage")).RunPage },
  },
];
