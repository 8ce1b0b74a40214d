import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { gridQuery } from "../../api/queries";

export const ganttTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "gantt",
    loader: prefetch(({ dagId = "" }) => [gridQuery({ dagId, runType: null, state: null })]),
    lazy: { Component: async () => (await import("./GanttPage")).GanttPage },
  },
];
