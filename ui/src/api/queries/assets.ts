import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok } from "../client";
import type { components } from "../schema";

export type Asset = components["schemas"]["AssetResponse"];
export type AssetEvent = components["schemas"]["AssetEventResponse"];

export const ASSETS_PER_PAGE = 50;
export const ASSET_EVENTS_PER_PAGE = 25;

/** Keys begin like those of all runs: an event of an asset comes from one, and leads to one. */
export const assetsQuery = ({ q, page, limit = ASSETS_PER_PAGE }: { q: string; page: number; limit?: number }) =>
  queryOptions({
    queryKey: ["runs", "~", "assets", q, page, limit],
    queryFn: ({ signal }) => {
      const query = {
        limit,
        offset: (page - 1) * limit,
        order_by: ["name"],
        ...(q === "" ? {} : { name_pattern: q }),
      };
      return ok(client.GET("/api/v2/assets", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
    refetchInterval: () => pollInterval(false),
  });

export const assetQuery = (assetId: number) =>
  queryOptions({
    queryKey: ["runs", "~", "asset", assetId],
    queryFn: ({ signal }) =>
      ok(client.GET("/api/v2/assets/{asset_id}", { params: { path: { asset_id: assetId } }, signal })),
    refetchInterval: () => pollInterval(false),
  });

/** Newest first. */
export const assetEventsQuery = (assetId: number, page: number) =>
  queryOptions({
    queryKey: ["runs", "~", "assetEvents", assetId, page],
    queryFn: ({ signal }) => {
      const query = {
        asset_id: assetId,
        limit: ASSET_EVENTS_PER_PAGE,
        offset: (page - 1) * ASSET_EVENTS_PER_PAGE,
        order_by: ["-timestamp"],
      };
      return ok(client.GET("/api/v2/assets/events", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
    refetchInterval: () => pollInterval(false),
  });

/** Updates that DAGs have seen and not used yet: they wait for their other assets. */
export const queuedEventsQuery = (assetId: number) =>
  queryOptions({
    queryKey: ["runs", "~", "assetQueue", assetId],
    queryFn: async ({ signal }) => {
      const path = { asset_id: assetId };
      // 404: none.
      const answer = await client.GET("/api/v2/assets/{asset_id}/queuedEvents", { params: { path }, signal });
      return answer.data ?? { queued_events: [], total_entries: 0 };
    },
  });
