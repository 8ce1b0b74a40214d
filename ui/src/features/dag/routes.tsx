import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagQuery, runsQuery, tasksQuery } from "../../api/queries";
import { lastRun } from "./lastRun";

/** The page of a DAG: header and tabs. `tabs` come from other features, with paths relative to it. */
export const dagRoutes = (prefetch: Prefetch, tabs: RouteObject[]): RouteObject[] => [
  {
    path: "/dags/:dagId",
    loader: prefetch(({ dagId = "" }) => [dagQuery(dagId), runsQuery(lastRun(dagId))]),
    lazy: { Component: async () => (await import("./DagPage")).DagPage },
    children: [
      {
        path: "tasks",
        loader: prefetch(({ dagId = "" }) => [tasksQuery(dagId)]),
        lazy: { Component: async () => (await import("./TasksPage")).TasksPage },
      },
      ...tabs,
    ],
  },
];
