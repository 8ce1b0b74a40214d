import { NativeSelect, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";

import type { TaskInstance } from "../../api/client";
import type { MarkState } from "../../api/mutations/tasks";
import { tryFactsQuery, whyQuery } from "../../api/queries";
import { reasonText } from "../../lib/reasons";
import { isFinished, isWaiting, stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { useCan } from "../../parts/Can";
import { keyOf, taskName } from "../../parts/task/names";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { LongId } from "../../ui/LongId";
import { MoreMenu } from "../../ui/MoreMenu";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { SearchBox } from "../../ui/SearchBox";
import { StateChip } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import classes from "./run.module.css";

const PER_PAGE = 100;
/** Rows for which a reason is asked at once. */
const REASONS = 20;

interface Props {
  tasks: TaskInstance[];
  onClear: (task: TaskInstance) => void;
  onMark: (task: TaskInstance, state: MarkState) => void;
}

/** Root causes first, then what has not ended, then the rest as they began. */
const rank = (task: TaskInstance) =>
  task.state === "failed"
    ? 0
    : task.state === "up_for_retry"
      ? 1
      : !isFinished(task.state)
        ? 2
        : task.state === "upstream_failed"
          ? 3
          : 4;

const inOrder = (a: TaskInstance, b: TaskInstance) =>
  rank(a) - rank(b) ||
  (a.start_date ?? "9").localeCompare(b.start_date ?? "9") ||
  a.task_id.localeCompare(b.task_id) ||
  a.map_index - b.map_index;

export function TasksTable({ tasks, onClear, onMark }: Props) {
  const [search, setSearch] = useSearchParams();
  const page = usePage();
  const words = strings.run;
  const q = (search.get("q") ?? "").toLowerCase();
  const state = search.get("state") ?? "";
  const set = (key: string, value: string) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        if (value === "") next.delete(key);
        else next.set(key, value);
        next.delete("page");
        return next;
      },
      { replace: true },
    );
  const setQ = (text: string) => set("q", text);
  if (tasks.length === 0) return <EmptyState text={words.noTasks} />;
  const counts = new Map<string, number>();
  for (const task of tasks) counts.set(stateWord(task.state), (counts.get(stateWord(task.state)) ?? 0) + 1);
  const shown = tasks
    .filter((task) => state === "" || stateWord(task.state) === state)
    .filter((task) => q === "" || `${taskName(task)} ${task.operator_name} ${task.hostname}`.toLowerCase().includes(q))
    .toSorted(inOrder);
  const rows = shown.slice((page - 1) * PER_PAGE, page * PER_PAGE);
  const asked = new Set(rows.filter((task) => rank(task) <= 2).slice(0, REASONS));
  return (
    <>
      <div className={classes.filters}>
        <SearchBox label={words.filter} value={search.get("q") ?? ""} onChange={setQ} />
        <NativeSelect
          size="xs"
          aria-label={words.state}
          value={state}
          onChange={(event) => set("state", event.currentTarget.value)}
          data={[
            { value: "", label: `${words.allStates} (${tasks.length})` },
            ...[...counts].map(([word, n]) => ({ value: word, label: `${strings.states[stateWord(word)]} (${n})` })),
          ]}
        />
        <Text size="xs" c="dimmed">
          {words.shown(shown.length, tasks.length)}
        </Text>
      </div>
      {shown.length === 0 ? (
        <EmptyState text={words.noMatch} />
      ) : (
        <ScrollTable
          label={strings.tasks.title}
          head={[
            strings.tasks.task,
            strings.tasks.state,
            words.error,
            strings.tasks.try,
            strings.tasks.duration,
            strings.tasks.started,
            strings.tasks.host,
            words.actions,
          ]}
        >
          {rows.map((task) => (
            <Row
              key={`${task.task_id} ${task.map_index}`}
              task={task}
              asks={asked.has(task)}
              onClear={onClear}
              onMark={onMark}
            />
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={PER_PAGE} total={shown.length} />
    </>
  );
}

interface RowProps extends Omit<Props, "tasks"> {
  task: TaskInstance;
  asks: boolean;
}

function Row({ task, asks, onClear, onMark }: RowProps) {
  const name = taskName(task);
  const key = keyOf(task);
  const cannot = useCan("Write:TaskInstance");
  const words = strings.tasks;
  // One that was never started has times of when that was decided.
  const hasRun = task.state !== "upstream_failed" && task.state !== "skipped";
  return (
    <Table.Tr>
      <Table.Td className={classes.nameCell}>
        <span className={classes.name}>
          <Link to={paths.task(key)}>
            <LongId id={name} />
          </Link>
          <span className={classes.muted}>{task.operator_name}</span>
        </span>
      </Table.Td>
      <Table.Td>
        <StateChip state={task.state} />
      </Table.Td>
      <Table.Td className={classes.reasonCell}>
        {asks && <Reason task={task} />}
        {task.note !== null && <div className={classes.muted}>{task.note}</div>}
      </Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        {task.try_number > 0 ? words.tryOf(task.try_number, task.max_tries + 1) : strings.app.none}
      </Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>{hasRun ? <Elapsed {...task} /> : strings.app.none}</Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        <Time at={hasRun ? task.start_date : null} />
      </Table.Td>
      <Table.Td>{task.hostname || strings.app.none}</Table.Td>
      <Table.Td>
        <MoreMenu
          label={words.moreOf(name)}
          items={[
            { label: words.clear, icon: "again", reason: cannot, onClick: () => onClear(task) },
            { label: words.markAs.success, icon: "check", reason: cannot, onClick: () => onMark(task, "success") },
            { label: words.markAs.failed, icon: "close", reason: cannot, onClick: () => onMark(task, "failed") },
            { label: words.markAs.skipped, icon: "right", reason: cannot, onClick: () => onMark(task, "skipped") },
          ]}
        />
      </Table.Td>
    </Table.Tr>
  );
}

/** Why it failed, or why it does not run. */
function Reason({ task }: { task: TaskInstance }) {
  const key = keyOf(task);
  const isWaitingNow = isWaiting(task.state);
  const why = useQuery({ ...whyQuery(key, task.state), enabled: isWaitingNow });
  const facts = useQuery({
    ...tryFactsQuery(key, task.state),
    enabled: task.state === "failed" && task.try_number > 0,
  });
  if (isWaitingNow)
    return why.data?.reasons.map((reason) => <div key={JSON.stringify(reason)}>{reasonText(reason)}</div>);
  return facts.data?.tries.at(-1)?.failure_reason ?? null;
}
