import { Anchor, TextInput } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams, useSearchParams } from "react-router";

import type { Task } from "../../api/client";
import { gridQuery, tasksQuery, type Grid } from "../../api/queries";
import { treeOf, type Row } from "../../lib/grid/rows";
import { usualSeconds } from "../../lib/grid/usual";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { Looks } from "../../parts/grid/Looks";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { Icon } from "../../ui/icons";
import { Duration } from "../../ui/Time";
import { VirtualTable, type Column } from "../../ui/VirtualTable";
import { countsOf } from "../../lib/grid/rows";
import classes from "./tasks.module.css";

/** So many of the last runs are shown for each task. */
const SHOWN = 14;

interface Line {
  task: Task;
  id: string;
  /** Null: no grid yet, or a task that it does not know. */
  row: Row | null;
}

/** Every task with what it is, how its last runs ended and how long it takes. */
export function TasksPage() {
  const { dagId = "" } = useParams();
  const [search, setSearch] = useSearchParams();
  const q = search.get("q") ?? "";
  const { data } = useSuspenseQuery(tasksQuery(dagId));
  const { data: grid } = useQuery(gridQuery({ dagId, runType: null, state: null }));
  const rows = new Map(treeOf(grid?.nodes ?? []).map((row) => [row.id, row]));
  // In the order of the grid, where there is one: upstream first.
  const order = new Map([...rows.keys()].map((id, at) => [id, at]));
  const lines = data.tasks
    .map((task): Line => ({ task, id: task.task_id ?? "", row: rows.get(task.task_id ?? "") ?? null }))
    .filter(({ id, task }) => `${id} ${task.operator_name ?? ""}`.toLowerCase().includes(q.toLowerCase()))
    .toSorted((a, b) => (order.get(a.id) ?? Infinity) - (order.get(b.id) ?? Infinity) || 0);
  return (
    <>
      <Looks />
      <TextInput
        size="xs"
        maw={240}
        mb={8}
        type="search"
        aria-label={strings.dag.task}
        placeholder={strings.dag.task}
        leftSection={<Icon name="search" size={14} />}
        value={q}
        onChange={({ currentTarget: { value } }) => setSearch(value === "" ? {} : { q: value }, { replace: true })}
      />
      <VirtualTable
        label={strings.dag.tab.tasks}
        columns={columnsOf(dagId, grid)}
        count={lines.length}
        row={(index) => lines[index]}
        rowKey={({ id }) => id}
        maxHeight="max(320px, calc(100dvh - 250px))"
        empty={<EmptyState text={data.tasks.length === 0 ? strings.dag.noTasks : strings.dag.noTasksMatch} />}
      />
    </>
  );
}

function columnsOf(dagId: string, grid: Grid | undefined): Column<Line>[] {
  const newest = grid?.runs.at(-1)?.dag_run_id;
  return [
    {
      key: "task",
      head: strings.dag.task,
      width: "minmax(180px, 2fr)",
      cell: ({ id }) =>
        newest === undefined ? (
          <span title={id}>{id}</span>
        ) : (
          <Anchor
            component={Link}
            to={paths.task({ dagId, runId: newest, taskId: id, mapIndex: -1 }, "history")}
            title={id}
          >
            {id}
          </Anchor>
        ),
    },
    {
      key: "runs",
      head: strings.dag.lastRuns,
      width: "232px",
      cell: ({ row }) =>
        row === null || grid === undefined ? null : <LastOfTask dagId={dagId} row={row} grid={grid} />,
    },
    {
      key: "median",
      head: strings.dag.median,
      width: "96px",
      align: "end",
      cell: ({ row }) => <Duration seconds={row === null || grid === undefined ? null : usualSeconds(row, grid, "")} />,
    },
    {
      key: "operator",
      head: strings.dag.operator,
      width: "minmax(120px, 1fr)",
      cell: ({ task }) => (
        <>
          {task.operator_name}
          {task.is_mapped && (
            <small className={classes.muted} title={strings.dag.isMapped}>
              {strings.dag.mappedMark}
            </small>
          )}
        </>
      ),
    },
    {
      key: "rule",
      head: strings.dag.triggerRule,
      width: "minmax(110px, 1fr)",
      cell: ({ task }) => <Rule task={task} />,
    },
    {
      key: "retries",
      head: strings.dag.retries,
      width: "64px",
      align: "end",
      cell: ({ task }) => (task.retries ? task.retries : <span className={classes.muted}>{task.retries ?? 0}</span>),
    },
    {
      key: "pool",
      head: strings.dag.pool,
      width: "minmax(110px, 1fr)",
      cell: ({ task }) =>
        task.pool === null ? null : (
          <Anchor component={Link} to={paths.pools()} c="inherit">
            {strings.dag.slots(task.pool, task.pool_slots ?? 1)}
          </Anchor>
        ),
    },
  ];
}

/** The rule that nearly all tasks have is quiet. */
const Rule = ({ task: { trigger_rule } }: { task: Task }) =>
  trigger_rule === "all_success" ? <span className={classes.muted}>{trigger_rule}</span> : trigger_rule;

function LastOfTask({ dagId, row, grid }: { dagId: string; row: Row; grid: Grid }) {
  return (
    <span className={classes.marks}>
      {grid.runs.slice(-SHOWN).map(({ dag_run_id: runId }) => {
        const [worst] = countsOf(row, grid.cells[runId], grid.states);
        if (worst === undefined) return <i key={runId} className={classes.blank} />;
        const word = strings.states[stateWord(worst.state)];
        return (
          <Link
            key={runId}
            to={paths.task({ dagId, runId, taskId: row.id, mapIndex: -1 }, row.isMapped ? "mapped" : "log")}
            className={classes.mark}
            data-s={stateWord(worst.state)}
            aria-label={`${runId}: ${word}`}
            title={`${runId}: ${word}`}
          />
        );
      })}
    </span>
  );
}
