import { queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok } from "../client";

export const importErrorsQuery = () =>
  queryOptions({
    queryKey: ["importErrors"],
    queryFn: ({ signal }) => ok(client.GET("/api/v2/importErrors", { params: { query: { limit: 100 } }, signal })),
    refetchInterval: () => pollInterval(false),
  });
