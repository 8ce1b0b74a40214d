import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagQuery } from "../../api/queries";

/** Everything that is known of a DAG. */
export const detailsTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "details",
    loader: prefetch(({ dagId = "" }) => [dagQuery(dagId)]),
    lazy: { Component: async () => (await import("./DetailsTab")).DetailsTab },
  },
];
