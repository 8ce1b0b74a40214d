import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { runQuery, taskInstancesQuery } from "../../api/queries";
import { patterns } from "../../paths";
import { pageOf } from "../../ui/Pager";

/** The page of a run. */
export const runRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.run,
    loader: prefetch(({ dagId = "", runId = "" }, search) => [
      runQuery(dagId, runId),
      taskInstancesQuery(dagId, runId, pageOf(search)),
    ]),
    lazy: { Component: async () => (await import("./RunPage")).RunPage },
  },
];
