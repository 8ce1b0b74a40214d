import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { homeQuery } from "../../api/queries/home";
import { patterns } from "../../paths";

export const homeRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.home,
    loader: prefetch(() => [homeQuery()]),
    lazy: { Component: async () => (await import("./HomePage")).HomePage },
  },
];
