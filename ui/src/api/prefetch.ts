import type { QueryClient } from "@tanstack/react-query";
import type { LoaderFunction } from "react-router";

import { session } from "./session";

type Options = Parameters<QueryClient["prefetchQuery"]>[0];
type Params = Record<string, string | undefined>;

/**
 * A loader that only starts the requests of a page: the page itself reads them, so navigation waits for nothing, and the answers
 * travel while the page's own script does.
 */
export type Prefetch = (wanted: (params: Params, search: URLSearchParams) => unknown[]) => LoaderFunction;

export const prefetcher =
  (queries: QueryClient): Prefetch =>
  (wanted) =>
  ({ params, request }) => {
    if (!session.hasEnded()) {
      for (const query of wanted(params, new URL(request.url).searchParams))
        void queries.prefetchQuery(query as Options);
    }
    return null;
  };
