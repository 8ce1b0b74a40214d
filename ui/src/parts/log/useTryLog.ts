import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import type { TaskKey } from "../../api/queries";
import type { LogLine } from "../../lib/log/lines";
import { LogPages, type LogNow } from "../../lib/log/pages";
import { findFailure, type Failure } from "../../lib/log/traceback";
import { logAddress, readLog } from "../../api/logBytes";

const QUICK_MS = 700;
const SLOW_MS = 2_000;
const AFTER_ERROR_MS = 3_000;
/** How far back from the end of a log the failure of a try is looked for. */
const PAGES_BACK = 6;
/** And how far a better answer than the last error line: what was thrown may stand before the last of the output. */
const PAGES_BACK_BETTER = 3;
const LINES_BACK = 3_000;

export interface TryLog {
  now: LogNow;
  address: string;
  /** What the log ends with, when the try failed and something looks like it. */
  failure: { what: Failure; line: LogLine } | null;
  /** It was looked for: nothing better will be found. */
  isSought: boolean;
}

/**
 * The log of one try (the caller is mounted anew for another one), live while it may be written to. `openAt`: where somebody will look first. A failed try is opened at its
 * end, where its error is.
 */
export function useTryLog(
  task: TaskKey,
  tryNumber: number,
  { live, failed, openAt }: { live: boolean; failed: boolean; openAt: "start" | "end" | { offset: number } },
): TryLog {
  const address = logAddress(task, tryNumber);
  const [pages] = useState(() => new LogPages(readLog(address)));
  const now = useSyncExternalStore(pages.subscribe, pages.snapshot);

  const [first] = useState(openAt);
  useEffect(() => {
    const abort = new AbortController();
    void pages.open(first, abort.signal);
    return () => abort.abort();
  }, [pages, first]);

  const wasLive = useRef(live);
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (!live) {
      // What it wrote last may not have been read.
      void (async () => {
        if (wasLive.current && pages.opened) await pages.more(abort.signal);
        if (!abort.signal.aborted) pages.end();
      })();
    } else {
      const step = async () => {
        let wait = SLOW_MS;
        if (!document.hidden && pages.opened) {
          const grew = await pages.more(abort.signal);
          wait = pages.error !== null ? AFTER_ERROR_MS : grew ? QUICK_MS : wait;
        }
        if (!abort.signal.aborted) timer = setTimeout(step, wait);
      };
      timer = setTimeout(step, QUICK_MS);
    }
    wasLive.current = live;
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [pages, live]);

  const { page, lines } = useMemo(() => {
    const tail = now.pages.tail();
    return { page: tail.page, lines: tail.lines.slice(-LINES_BACK) };
  }, [now]);
  const what = useMemo(() => (failed ? findFailure(lines) : null), [failed, lines]);
  const looked = pages.count - page;
  const most = what === null ? PAGES_BACK : what.kind === null ? PAGES_BACK_BETTER : 0;
  const goesOn = failed && pages.opened && page > 0 && looked < most;
  useEffect(() => {
    if (goesOn) void pages.need(page - 1, page - 1);
  }, [pages, goesOn, page]);

  const line = what === null ? undefined : lines[what.index];
  return {
    now,
    address,
    failure: goesOn || what === null || line === undefined ? null : { what, line },
    isSought: pages.opened && !goesOn,
  };
}
