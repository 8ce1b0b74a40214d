import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { healthQuery, versionQuery } from "../../api/queries/about";
import { patterns } from "../../paths";

export const aboutRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.about,
    loader: prefetch(() => [versionQuery(), healthQuery()]),
    lazy: { Component: async () => (await import("./AboutPage")).AboutPage },
  },
];
