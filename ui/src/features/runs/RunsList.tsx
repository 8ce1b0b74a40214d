import { Button } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import type { DagRun } from "../../api/client";
import { messageOf } from "../../api/errors";
import { failedInQuery, notedRunsQuery, runKey, RUNS_PER_WINDOW, runWindowQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { Looks } from "../../parts/grid/Looks";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { PanelError } from "../../ui/PanelError";
import { SkeletonRows } from "../../ui/Skeletons";
import { VirtualTable } from "../../ui/VirtualTable";
import { Bulk } from "./Bulk";
import { columnsOf, narrowColumnsOf } from "./columns";
import { Filters } from "./Filters";
import { isFiltered, parametersOf, wishOf } from "./wish";

/** Runs of one DAG or, with `~`, of all: any number of them, of which windows are read as they come into sight. */
export function RunsList({ dagId }: { dagId: string }) {
  const [search, setSearch] = useSearchParams();
  const all = dagId === "~";
  const isNarrow = useMediaQuery("(max-width: 599px)", false, { getInitialValueInEffect: false });
  const wish = wishOf(search);
  const parameters = parametersOf(wish);
  const [windows, setWindows] = useState<readonly number[]>([0]);
  const answers = useQueries({
    queries: windows.map((window) => ({ ...runWindowQuery(dagId, parameters, window), enabled: !wish.onlyNoted })),
  });
  const noted = useQuery({ ...notedRunsQuery(dagId, parameters), enabled: wish.onlyNoted });

  const first = answers[0];
  const known = new Map(windows.map((window, index) => [window, answers[index]?.data?.dag_runs]));
  const total = wish.onlyNoted
    ? noted.data?.length
    : answers.findLast(({ data }) => data !== undefined)?.data?.total_entries;
  const row = (index: number): DagRun | undefined =>
    wish.onlyNoted ? noted.data?.[index] : known.get(Math.floor(index / RUNS_PER_WINDOW))?.[index % RUNS_PER_WINDOW];

  const shown = wish.onlyNoted ? (noted.data ?? []) : [...known.values()].flatMap((runs) => runs ?? []);
  const failures = useQuery(failedInQuery(shown)).data ?? {};

  // What is selected stays so when its window is left; the runs themselves are kept for the dialogs.
  const [selected, setSelected] = useState<ReadonlyMap<string, DagRun>>(new Map());
  const select = (keys: Set<string>) => {
    const next = new Map<string, DagRun>();
    for (const run of [...selected.values(), ...shown]) if (keys.has(runKey(run))) next.set(runKey(run), run);
    setSelected(next);
  };

  const error = wish.onlyNoted ? noted.error : (first?.error ?? null);
  const clear = () => setSearch({}, { replace: true });
  return (
    <>
      <Looks />
      <Filters wish={wish} total={total ?? null} all={all} />
      <Bulk runs={[...selected.values()]} names={all} onDone={() => setSelected(new Map())} />
      {total == null && error !== null ? (
        <PanelError message={messageOf(error)} onRetry={() => void (wish.onlyNoted ? noted : first)?.refetch()} />
      ) : total == null ? (
        <SkeletonRows rows={12} />
      ) : (
        <VirtualTable
          label={strings.runs.title}
          columns={isNarrow ? narrowColumnsOf(all, failures) : columnsOf(all, failures)}
          {...(isNarrow ? { rowHeight: 56 } : {})}
          count={total}
          row={row}
          rowKey={runKey}
          maxHeight={`max(320px, calc(100dvh - ${all ? 210 : 300}px))`}
          onRange={(from, to) => {
            const wanted = [...new Set([Math.floor(from / RUNS_PER_WINDOW), Math.floor(to / RUNS_PER_WINDOW)])];
            if (wanted.some((window) => !windows.includes(window)) || wanted.length < windows.length)
              setWindows(wanted);
          }}
          selection={{ selected: new Set(selected.keys()), onChange: select, name: (run) => run.dag_run_id }}
          sort={{
            by: wish.order,
            onSort: (by) =>
              setSearch(
                (now) => {
                  const next = new URLSearchParams(now);
                  if (by === "-run_after") next.delete("order_by");
                  else next.set("order_by", by);
                  return next;
                },
                { replace: true },
              ),
          }}
          empty={
            isFiltered(wish) ? (
              <EmptyState text={strings.runs.noneMatch}>
                <Button size="compact-sm" variant="default" onClick={clear}>
                  {strings.runs.clearFilters}
                </Button>
              </EmptyState>
            ) : (
              <EmptyState text={strings.runs.noneYet}>
                {!all && (
                  <Button size="compact-sm" component={Link} to={paths.trigger(dagId)}>
                    {strings.dag.trigger}
                  </Button>
                )}
              </EmptyState>
            )
          }
        />
      )}
    </>
  );
}
