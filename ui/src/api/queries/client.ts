import { QueryClient } from "@tanstack/react-query";

import { ApiError } from "../errors";

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 1_000,
        // Client errors do not go away by asking again; a poll that failed is retried by the next poll.
        retry: (failures, error) =>
          failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
        retryDelay: (attempt) => 500 * 2 ** attempt,
        // Ask although the browser thinks it is offline: the server may be on this machine.
        networkMode: "always",
      },
      mutations: { networkMode: "always" },
    },
  });
}
