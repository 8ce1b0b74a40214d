import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { assetEventsQuery, assetQuery, assetsQuery } from "../../api/queries";
import { patterns } from "../../paths";
import { pageOf } from "../../ui/Pager";
import { GRAPH_ASSETS } from "./limits";

export const assetRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.assets,
    loader: prefetch((_, search) => [
      search.get("view") === "graph"
        ? assetsQuery({ q: search.get("q") ?? "", page: 1, limit: GRAPH_ASSETS })
        : assetsQuery({ q: search.get("q") ?? "", page: pageOf(search) }),
    ]),
    lazy: { Component: async () => (await import("./AssetsPage")).AssetsPage },
  },
  {
    path: patterns.asset,
    loader: prefetch(({ assetId = "" }, search) => [
      assetQuery(Number(assetId)),
      assetEventsQuery(Number(assetId), pageOf(search)),
    ]),
    lazy: { Component: async () => (await import("./AssetPage")).AssetPage },
  },
];
