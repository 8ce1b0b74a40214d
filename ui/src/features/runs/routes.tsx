import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { runWindowQuery } from "../../api/queries";
import { patterns } from "../../paths";
import { parametersOf, wishOf } from "./wish";

const window = (dagId: string, search: URLSearchParams) => runWindowQuery(dagId, parametersOf(wishOf(search)), 0);

/** Runs of all DAGs. */
export const runsRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.runs,
    loader: prefetch((_, search) => [window("~", search)]),
    lazy: { Component: async () => (await import("./RunsPage")).RunsPage },
  },
];

/** Runs of one DAG. */
export const runsTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "runs",
    loader: prefetch(({ dagId = "" }, search) => [window(dagId, search)]),
    lazy: { Component: async () => (await import("./RunsTab")).RunsTab },
  },
];
