import { Button } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useSyncExternalStore } from "react";

import { ApiError } from "../../api/errors";
import { live } from "../../lib/live";
import { strings } from "../../lib/strings";
import { ago, clock } from "../../lib/time";
import { useNow } from "../../ui/now";
import classes from "./frame.module.css";

/** A stream that ends is opened again within this time, mostly: not worth a word. */
const PATIENCE_MS = 2_000;

/** A thin bar over data that is older than it looks, because the server gives no answer. */
export function Connection() {
  const queries = useQueryClient();
  const stream = useSyncExternalStore(live.subscribe, live.awaySince);
  const stale = useStaleSince();
  const text = useNow((now) => {
    const since = stream ?? stale;
    if (since === null || (stale === null && now - since < PATIENCE_MS)) return null;
    const iso = new Date(since).toISOString();
    return strings.frame.disconnected(clock(iso, now), ago(iso, now));
  });
  useEffect(() => {
    // The frame dims what is shown.
    if (text === null) delete document.documentElement.dataset["away"];
    else document.documentElement.dataset["away"] = "";
  }, [text]);
  return (
    <div role="status" className={text === null ? undefined : classes.disconnected}>
      {text !== null && (
        <>
          {text}
          <Button size="compact-xs" variant="default" onClick={() => void queries.refetchQueries({ type: "active" })}>
            {strings.frame.tryNow}
          </Button>
        </>
      )}
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
