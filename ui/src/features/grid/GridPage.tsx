import { Button, Group, NativeSelect } from "@mantine/core";
import { useParams, useSearchParams } from "react-router";

import { messageOf } from "../../api/errors";
import type { Grid, GridFilter } from "../../api/queries";
import { RUN_STATES } from "../../lib/filters";
import { strings } from "../../lib/strings";
import { RowsToolbar } from "../../parts/grid/RowsToolbar";
import { useGrid } from "../../parts/grid/useGrid";
import { useRows } from "../../parts/grid/useRows";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { PanelError } from "../../ui/PanelError";
import { SkeletonBox } from "../../ui/Skeletons";
import { Link } from "react-router";
import { GridTable } from "./GridTable";
import { Keys } from "./Keys";

export function GridPage() {
  const { dagId = "" } = useParams();
  const [search] = useSearchParams();
  const filter: GridFilter = { dagId, runType: search.get("run_type"), state: search.get("run_state") };
  const { data, error, refetch, older, showOlder } = useGrid(filter);
  if (data === undefined) {
    return error === null ? (
      <SkeletonBox height={420} />
    ) : (
      <PanelError message={messageOf(error)} onRetry={() => void refetch()} />
    );
  }
  return <Loaded dagId={dagId} grid={data} filter={filter} older={older} onOlder={showOlder} />;
}

interface Props {
  dagId: string;
  grid: Grid;
  filter: GridFilter;
  older: "idle" | "loading" | "failed";
  onOlder: () => Promise<void>;
}

function Loaded({ dagId, grid, filter, older, onOlder }: Props) {
  const rows = useRows(grid);
  const [, setSearch] = useSearchParams();
  const set = (key: string, value: string) =>
    setSearch(
      (now) => {
        const next = new URLSearchParams(now);
        if (value === "") next.delete(key);
        else next.set(key, value);
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  const isRunFiltered = filter.runType !== null || filter.state !== null;
  const clear = () => setSearch({}, { replace: true });
  return (
    <>
      <RowsToolbar rows={rows}>
        <Group gap={6}>
          <NativeSelect
            size="xs"
            aria-label={strings.dag.runType}
            value={filter.runType ?? ""}
            data={[
              { value: "", label: strings.dag.anyType },
              ...Object.entries(strings.runTypes).map(([value, label]) => ({ value, label })),
            ]}
            onChange={({ currentTarget: { value } }) => set("run_type", value)}
          />
          <NativeSelect
            size="xs"
            aria-label={strings.dag.runState}
            value={filter.state ?? ""}
            data={[
              { value: "", label: strings.dag.anyState },
              ...RUN_STATES.map((value) => ({ value, label: strings.states[value] })),
            ]}
            onChange={({ currentTarget: { value } }) => set("run_state", value)}
          />
        </Group>
        {grid.hasOlder && (
          <Button
            size="compact-xs"
            variant="default"
            loading={older === "loading"}
            onClick={() => void onOlder()}
            aria-live="polite"
          >
            {older === "failed" ? strings.dag.olderFailed : strings.dag.older}
          </Button>
        )}
        <Keys />
      </RowsToolbar>
      {grid.runs.length === 0 && isRunFiltered ? (
        <EmptyState text={strings.dag.noRunsMatch}>
          <Button size="compact-sm" variant="default" onClick={clear}>
            {strings.dag.clearFilter}
          </Button>
        </EmptyState>
      ) : grid.runs.length === 0 ? (
        <EmptyState text={strings.dag.noRuns}>
          <Button size="compact-sm" component={Link} to={paths.trigger(dagId)}>
            {strings.dag.trigger}
          </Button>
        </EmptyState>
      ) : rows.shown.length === 0 ? (
        <EmptyState text={rows.isFiltered ? strings.dag.noTasksMatch : strings.dag.noTasks}>
          {rows.isFiltered && (
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => rows.setFilter({ text: "", failuresOnly: false })}
            >
              {strings.dag.clearFilter}
            </Button>
          )}
        </EmptyState>
      ) : (
        <GridTable dagId={dagId} grid={grid} rows={rows} olderState={older} onOlder={() => void onOlder()} />
      )}
    </>
  );
}
