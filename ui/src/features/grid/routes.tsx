import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { gridQuery } from "../../api/queries";

/** The first tab of a DAG. */
export const gridTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    index: true,
    loader: prefetch(({ dagId = "" }, search) => [
      gridQuery({ dagId, runType: search.get("run_type"), state: search.get("run_state") }),
    ]),
    lazy: { Component: async () => (await import("./GridPage")).GridPage },
  },
];
