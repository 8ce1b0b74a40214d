/** How people log in here. */
import { queryOptions } from "@tanstack/react-query";

import { client, ok } from "../client";

export const loginWaysQuery = () =>
  queryOptions({
    queryKey: ["loginWays"],
    queryFn: ({ signal }) => ok(client.GET("/ui/login", { signal })),
    staleTime: Infinity,
  });
