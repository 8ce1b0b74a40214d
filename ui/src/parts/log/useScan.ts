import { useEffect, useMemo, useState } from "react";

import type { LogNow, LogPages } from "../../lib/log/pages";
import { matcher, MOST, scan, type Match, type Progress, type Query } from "../../lib/log/scan";
import { readLog } from "../../api/logBytes";
import type { ScanOrder } from "./scan.worker";

export interface Found {
  matches: Match[];
  /** From 0 to 1; 1 when the whole log was looked through. */
  progress: number;
  isCut: boolean;
  isFailed: boolean;
}

const NOTHING: Found = { matches: [], progress: 0, isCut: false, isFailed: false };
/** A log of this size is read whole when it is searched: no second reading for the next word. */
export const SMALL = 4 << 20;
const TYPING_MS = 250;

/** Runs a scan to its end, beside the page where that is possible. Stops with what it returns. */
export function runScan(order: ScanOrder, onProgress: (progress: Progress) => void, onEnd: (failed: boolean) => void) {
  if (typeof Worker === "undefined") {
    const abort = new AbortController();
    void (async () => {
      try {
        for await (const progress of scan(readLog(order.address), order.query, order.untilLine, abort.signal)) {
          if (abort.signal.aborted) return;
          onProgress(progress);
        }
        onEnd(false);
      } catch {
        if (!abort.signal.aborted) onEnd(true);
      }
    })();
    return () => abort.abort();
  }
  const worker = new Worker(new URL("./scan.worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Progress | string>) => {
    if (typeof data !== "string") return onProgress(data);
    worker.terminate();
    onEnd(data !== "done");
  });
  worker.addEventListener("error", () => onEnd(true));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
  worker.postMessage(order);
  return () => worker.terminate();
}

/** What of a log matches: at once where all of it is here, else by reading it once through. Null: nothing is asked. */
export function useFound(now: LogNow, address: string, query: Query | null): Found | null {
  const { pages } = now;
  const key = query === null ? null : JSON.stringify(query);
  const isOpen = pages.opened;
  const isSmall = isOpen && pages.total <= SMALL;
  const [far, setFar] = useState<{ key: string; found: Found } | null>(null);
  const near = useMemo(
    () => (key !== null && isSmall && now.pages.isWhole ? search(now.pages, JSON.parse(key) as Query) : null),
    [now, key, isSmall],
  );

  useEffect(() => {
    if (key !== null && isSmall && !now.pages.isWhole) void now.pages.need(0, now.pages.count - 1);
  }, [now, key, isSmall]);

  useEffect(() => {
    if (key === null || isSmall || !isOpen) return;
    let stop = () => {};
    const timer = setTimeout(() => {
      let found: Found = NOTHING;
      setFar({ key, found });
      stop = runScan(
        { address, query: JSON.parse(key) as Query, untilLine: null },
        ({ upTo, total, matches, isCut, firstPage, counts }) => {
          pages.setCounts(firstPage, counts);
          const all = matches.length === 0 ? found.matches : [...found.matches, ...matches];
          found = { matches: all, progress: Math.min(0.999, upTo / total), isCut, isFailed: false };
          setFar({ key, found });
        },
        (isFailed) => setFar({ key, found: { ...found, progress: 1, isFailed } }),
      );
    }, TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [pages, address, key, isSmall, isOpen]);

  if (key === null) return null;
  if (isSmall) return near ?? NOTHING;
  return far?.key === key ? far.found : NOTHING;
}

function search(pages: LogPages, query: Query): Found {
  const matches = matcher(query);
  const found: Match[] = [];
  let number = 0;
  for (const line of pages.here()) {
    if (matches(line)) found.push({ line, number });
    number++;
    if (found.length >= MOST) return { matches: found, progress: 1, isCut: true, isFailed: false };
  }
  return { matches: found, progress: 1, isCut: false, isFailed: false };
}
