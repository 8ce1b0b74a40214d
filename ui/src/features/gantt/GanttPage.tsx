import { Anchor, Checkbox, Group, NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearchParams } from "react-router";

import { messageOf } from "../../api/errors";
import { earlierTriesQuery, structureQuery, type Grid } from "../../api/queries";
import { runTasksQuery, TASKS_SHOWN } from "../../api/queries/task";
import type { GridRun } from "../../lib/grid/types";
import { isFinished, stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { clock } from "../../lib/time";
import { RowsToolbar } from "../../parts/grid/RowsToolbar";
import { useGrid } from "../../parts/grid/useGrid";
import { useRows, type Rows } from "../../parts/grid/useRows";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { Notice } from "../../ui/Notice";
import { now, useNow } from "../../ui/now";
import { PanelError } from "../../ui/PanelError";
import { IconButton } from "../../ui/Reason";
import { SkeletonBox } from "../../ui/Skeletons";
import { Chart } from "./Chart";
import { chartOf } from "./chartOf";

/** One run of a DAG over time. Which run, and whether idle time is shortened, is in the address (`run`, `idle`). */
export function GanttPage() {
  const { dagId = "" } = useParams();
  const { data, error, refetch } = useGrid({ dagId, runType: null, state: null });
  if (data === undefined) {
    return error === null ? (
      <SkeletonBox height={420} />
    ) : (
      <PanelError message={messageOf(error)} onRetry={() => void refetch()} />
    );
  }
  return <OfDag dagId={dagId} grid={data} />;
}

function OfDag({ dagId, grid }: { dagId: string; grid: Grid }) {
  const [search, setSearch] = useSearchParams();
  const rows = useRows(grid);
  const wanted = search.get("run");
  // A run that is older than those that are here is still the one that was asked for.
  const known = grid.runs.find((run) => run.dag_run_id === wanted);
  const run = known ?? (wanted === null ? grid.runs.at(-1) : undefined);
  const runId = run?.dag_run_id ?? wanted;
  const isCollapsed = search.get("idle") === null;
  const set = (key: string, value: string | null) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        if (value === null) next.delete(key);
        else next.set(key, value);
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  if (runId === null) return <EmptyState text={strings.dag.noRuns} />;
  const at = grid.runs.findIndex((each) => each.dag_run_id === runId);
  const choose = (each: GridRun | undefined) => {
    if (each !== undefined) set("run", each === grid.runs.at(-1) ? null : each.dag_run_id);
  };
  return (
    <>
      <RowsToolbar rows={rows}>
        <Group gap={2} wrap="nowrap">
          <IconButton
            icon="left"
            label={strings.dag.previousRun}
            reason={at > 0 ? null : strings.dag.noOlder}
            onClick={() => choose(grid.runs[at - 1])}
          />
          <NativeSelect
            size="xs"
            aria-label={strings.dag.run}
            value={runId}
            onChange={({ currentTarget: { value } }) => choose(grid.runs.find((each) => each.dag_run_id === value))}
            data={[
              ...(known === undefined && wanted !== null ? [{ value: wanted, label: wanted }] : []),
              ...grid.runs.toReversed().map((each) => ({
                value: each.dag_run_id,
                label: strings.dag.runOf(clock(each.run_after, now()), strings.states[stateWord(each.state)]),
              })),
            ]}
          />
          <IconButton
            icon="right"
            label={strings.dag.nextRun}
            reason={at >= 0 && at < grid.runs.length - 1 ? null : strings.dag.noNewer}
            onClick={() => choose(grid.runs[at + 1])}
          />
          <Anchor component={Link} to={paths.run(dagId, runId)} size="sm" ml={6}>
            {strings.dag.openRun}
          </Anchor>
        </Group>
        <Checkbox
          size="xs"
          label={strings.dag.collapse}
          checked={isCollapsed}
          onChange={({ currentTarget: { checked } }) => set("idle", checked ? null : "1")}
        />
      </RowsToolbar>
      <OfRun
        key={runId}
        dagId={dagId}
        runId={runId}
        version={run?.dag_version_number ?? null}
        rows={rows}
        isCollapsed={isCollapsed}
      />
    </>
  );
}

interface OfRunProps {
  dagId: string;
  runId: string;
  /** Of the DAG, in this run. */
  version: number | null;
  rows: Rows;
  isCollapsed: boolean;
}

function OfRun({ dagId, runId, version, rows, isCollapsed }: OfRunProps) {
  const { data, error, refetch } = useQuery(runTasksQuery(dagId, runId));
  const tasks = data?.tasks ?? [];
  const { data: tries } = useQuery({ ...earlierTriesQuery(dagId, runId, tasks), enabled: tasks.length > 0 });
  const { data: structure } = useQuery(structureQuery(dagId, version));
  const isLive = tasks.some((task) => !isFinished(task.state));
  const time = useNow((at) => (isLive ? at : 0));
  if (data === undefined) {
    return error === null ? (
      <SkeletonBox height={420} />
    ) : (
      <PanelError message={messageOf(error)} onRetry={() => void refetch()} />
    );
  }
  const chart = chartOf({
    all: rows.all,
    rows: rows.shown,
    tasks,
    tries: tries ?? [],
    edges: structure?.edges ?? [],
    isCollapsed,
    now: isLive ? time : null,
  });
  if (rows.shown.length === 0) return <EmptyState text={strings.dag.noTasksMatch} />;
  return (
    <>
      {data.total > TASKS_SHOWN && <Notice>{strings.dag.ganttMore(TASKS_SHOWN)}</Notice>}
      {chart.scale.segments.length === 0 && <Notice>{strings.dag.notStarted}</Notice>}
      <Chart dagId={dagId} runId={runId} rows={rows} chart={chart} />
    </>
  );
}
