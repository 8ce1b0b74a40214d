/** What was looked at last, for the palette before anything is typed. Kept in this browser. */
import { useEffect } from "react";
import { matchPath, useLocation } from "react-router";

import { paths, patterns } from "../../paths";

export interface Recent {
  to: string;
  dagId: string;
  runId: string | null;
}

const KEY = "updraft.recent";
const KEPT = 8;

export function recent(): Recent[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(list)
      ? (list as Recent[]).filter(({ to, dagId }) => typeof to === "string" && typeof dagId === "string")
      : [];
  } catch {
    return [];
  }
}

const params = (pattern: string, pathname: string): Record<string, string | undefined> | undefined =>
  matchPath(`${pattern}/*`, pathname)?.params;

/** Notes DAGs and runs as they are visited. */
export function useVisited() {
  const { pathname } = useLocation();
  useEffect(() => {
    const run = params(patterns.run, pathname);
    const dag = params(patterns.dag, pathname);
    const dagId = run?.["dagId"] ?? dag?.["dagId"];
    if (dagId === undefined) return;
    const runId = run?.["runId"] ?? null;
    const entry = { to: runId === null ? paths.dag(dagId) : paths.run(dagId, runId), dagId, runId };
    try {
      localStorage.setItem(
        KEY,
        JSON.stringify([entry, ...recent().filter(({ to }) => to !== entry.to)].slice(0, KEPT)),
      );
    } catch {
      // A browser that keeps nothing.
    }
  }, [pathname]);
}
