import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { runsQuery } from "../../api/queries";
import { runStateFilter } from "../../lib/filters";
import { patterns } from "../../paths";
import { pageOf } from "../../ui/Pager";

/** Runs of all DAGs. */
export const runsRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.runs,
    loader: prefetch((_, search) => [runsQuery({ dagId: "~", state: runStateFilter(search), page: pageOf(search) })]),
    lazy: { Component: async () => (await import("./RunsPage")).RunsPage },
  },
];
