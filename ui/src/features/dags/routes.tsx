import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagsQuery, importErrorsQuery, runsQuery } from "../../api/queries";
import { patterns } from "../../paths";
import { pageOf } from "../../ui/Pager";
import { recentRuns } from "./recent";

export const dagsRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.dags,
    loader: prefetch((_, search) => [
      dagsQuery({ q: search.get("q") ?? "", page: pageOf(search) }),
      runsQuery(recentRuns),
      importErrorsQuery(),
    ]),
    lazy: { Component: async () => (await import("./DagListPage")).DagListPage },
  },
];
