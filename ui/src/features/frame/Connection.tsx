import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useSyncExternalStore } from "react";

import { ApiError } from "../../api/errors";
import { strings } from "../../lib/strings";
import { ago } from "../../lib/time";
import { useNow } from "../../ui/now";
import classes from "./frame.module.css";

/** A thin bar over data that is older than it looks, because the last question got no answer. */
export function Connection() {
  const since = useStaleSince();
  const text = useNow((now) => (since === null ? null : ago(new Date(since).toISOString(), now)));
  return (
    <div role="status" className={text === null ? undefined : classes.disconnected}>
      {text !== null && strings.app.disconnected(text)}
    </div>
  );
}

/** When the oldest shown data was fetched, if the server could not be reached since; else null. */
function useStaleSince(): number | null {
  const queries = useQueryClient().getQueryCache();
  const subscribe = useCallback((changed: () => void) => queries.subscribe(changed), [queries]);
  return useSyncExternalStore(subscribe, () => {
    let oldest: number | null = null;
    for (const query of queries.findAll({ type: "active" })) {
      const { data, dataUpdatedAt, error, fetchFailureReason } = query.state;
      const reason = error ?? fetchFailureReason;
      const unreachable = reason instanceof ApiError && (reason.status === 0 || reason.status >= 502);
      if (data !== undefined && unreachable) oldest = Math.min(oldest ?? dataUpdatedAt, dataUpdatedAt);
    }
    return oldest;
  });
}
