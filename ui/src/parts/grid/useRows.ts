import { useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";

import { openGroups, openWish, groupsOf, treeOf, visibleRows, type Filter, type Row } from "../../lib/grid/rows";
import type { GridAnswer } from "../../lib/grid/types";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";

const wordOf = (state: string) => strings.states[stateWord(state)];

export interface Rows {
  /** Every row there is. */
  all: Row[];
  shown: Row[];
  open: ReadonlySet<string>;
  filter: Filter;
  isFiltered: boolean;
  /** Whether a group hides what is in it. */
  isFolded: (row: Row) => boolean;
  toggle: (groupId: string) => void;
  setOpen: (which: "all" | "none") => void;
  setFilter: (filter: Filter) => void;
}

/** Which rows are shown: folds and filter are in the address (`open`, `q`, `failed`). */
export function useRows(answer: GridAnswer): Rows {
  const [search, setSearch] = useSearchParams();
  const wish = search.get("open");
  const text = search.get("q") ?? "";
  const failuresOnly = search.get("failed") !== null;

  const all = useMemo(() => treeOf(answer.nodes), [answer.nodes]);
  const open = useMemo(() => openGroups(all, wish), [all, wish]);
  const filter = useMemo(() => ({ text, failuresOnly }), [text, failuresOnly]);
  const isFiltered = text.trim() !== "" || failuresOnly;
  // Without a filter the rows do not depend on states, so that a change of state makes no new rows.
  const { runs, cells, states } = answer;
  const shown = useMemo(
    () =>
      visibleRows(
        all,
        open,
        filter,
        isFiltered ? { runs, cells, states } : { runs: [], cells: {}, states: [] },
        wordOf,
      ),
    // oxlint-disable-next-line react/exhaustive-deps
    [all, open, filter, isFiltered, isFiltered ? runs : null, isFiltered ? cells : null],
  );

  const change = useCallback(
    (values: Record<string, string | null>) =>
      setSearch(
        (now) => {
          const next = new URLSearchParams(now);
          for (const [key, value] of Object.entries(values)) {
            if (value === null || value === "") next.delete(key);
            else next.set(key, value);
          }
          return next;
        },
        { replace: true, preventScrollReset: true },
      ),
    [setSearch],
  );
  const setGroups = useCallback(
    (groups: ReadonlySet<string>) => change({ open: openWish(all, groups) }),
    [change, all],
  );
  const toggle = useCallback(
    (groupId: string) => {
      const groups = new Set(open);
      if (!groups.delete(groupId)) groups.add(groupId);
      setGroups(groups);
    },
    [open, setGroups],
  );
  const setOpen = useCallback(
    (which: "all" | "none") => setGroups(new Set(which === "all" ? groupsOf(all) : [])),
    [all, setGroups],
  );
  const setFilter = useCallback((to: Filter) => change({ q: to.text, failed: to.failuresOnly ? "1" : null }), [change]);
  const isFolded = useCallback(
    (row: Row) => row.kind === "group" && !isFiltered && !open.has(row.id),
    [isFiltered, open],
  );
  return { all, shown, open, filter, isFiltered, isFolded, toggle, setOpen, setFilter };
}
