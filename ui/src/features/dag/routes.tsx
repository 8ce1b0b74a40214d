import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagQuery, runsQuery } from "../../api/queries";
import { runStateFilter } from "../../lib/filters";
import { patterns } from "../../paths";
import { pageOf } from "../../ui/Pager";

/** The page of a DAG: header and tabs. `tabs` come from other features, with paths relative to it. */
export const dagRoutes = (prefetch: Prefetch, tabs: RouteObject[]): RouteObject[] => [
  {
    path: patterns.dag,
    loader: prefetch(({ dagId = "" }, search) => [
      dagQuery(dagId),
      runsQuery({ dagId, state: runStateFilter(search), page: pageOf(search) }),
    ]),
    lazy: { Component: async () => (await import("./DagPage")).DagPage },
    children: [...tabs],
  },
];
