import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagQuery } from "../../api/queries";

/** The file of a DAG, with its versions. */
export const codeTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "code",
    loader: prefetch(({ dagId = "" }) => [dagQuery(dagId)]),
    lazy: { Component: async () => (await import("./CodeTab")).CodeTab },
  },
];
