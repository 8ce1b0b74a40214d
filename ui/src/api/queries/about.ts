import { queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok } from "../client";

export const versionQuery = () =>
  queryOptions({
    queryKey: ["version"],
    queryFn: ({ signal }) => ok(client.GET("/api/v2/version", { signal })),
    staleTime: Infinity,
  });

export const healthQuery = () =>
  queryOptions({
    queryKey: ["health"],
    queryFn: ({ signal }) => ok(client.GET("/api/v2/monitor/health", { signal })),
    refetchInterval: () => pollInterval(false),
  });
