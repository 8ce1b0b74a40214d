import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { client, ok, type Schemas } from "../client";

export type Found = Schemas["SearchResponse"];

/** What is called so, a few of each kind. */
export const searchQuery = (q: string) =>
  queryOptions({
    queryKey: ["search", q],
    queryFn: ({ signal }) => ok(client.GET("/ui/search", { params: { query: { q, limit: 8 } }, signal })),
    enabled: q !== "",
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });
