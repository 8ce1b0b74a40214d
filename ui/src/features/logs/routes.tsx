import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { taskInstanceQuery } from "../../api/queries";
import { mapIndexOf } from "../../lib/filters";
import { patterns } from "../../paths";

/** The log of one try. */
export const logsRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.log,
    loader: prefetch(({ dagId = "", runId = "", taskId = "" }, search) => [
      taskInstanceQuery({ dagId, runId, taskId, mapIndex: mapIndexOf(search) }),
    ]),
    lazy: { Component: async () => (await import("./LogPage")).LogPage },
  },
];
