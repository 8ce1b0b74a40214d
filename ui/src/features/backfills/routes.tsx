import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { backfillsQuery, dagQuery } from "../../api/queries";
import { pageOf } from "../../ui/Pager";

export const backfillTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "backfills",
    loader: prefetch(({ dagId = "" }, search) => [dagQuery(dagId), backfillsQuery(dagId, pageOf(search))]),
    lazy: { Component: async () => (await import("./BackfillsTab")).BackfillsTab },
  },
];
