import { NativeSelect, Table, Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";

import type { TaskInstance } from "../../api/client";
import type { TaskKey } from "../../api/queries";
import { lastErrorQuery } from "../../api/queries/failure";
import { byKind } from "../../lib/causes";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { keyOf } from "../../parts/task/names";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { SearchBox } from "../../ui/SearchBox";
import { StateChip, StateMark } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import classes from "./task-instance.module.css";

const PER_PAGE = 100;
/** Logs that are asked for what failed; more of the same kind tell no more. */
const ASKED = 24;

interface Props {
  taskKey: TaskKey;
  tasks: TaskInstance[];
  total: number;
  onRetry: (failed: TaskInstance[]) => void;
}

/** The instances of a mapped task: what failed on top, by kind of error; then all of them. */
export function MappedTab({ taskKey, tasks, total, onRetry }: Props) {
  const [search, setSearch] = useSearchParams();
  const page = usePage();
  const words = strings.tasks;
  const q = search.get("q") ?? "";
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
  const counts = new Map<string, number>();
  for (const task of tasks) counts.set(stateWord(task.state), (counts.get(stateWord(task.state)) ?? 0) + 1);
  const failed = tasks.filter((task) => task.state === "failed");
  const shown = tasks
    .filter((task) => state === "" || stateWord(task.state) === state)
    .filter((task) => q === "" || `${task.map_index} ${task.rendered_map_index ?? ""}`.includes(q))
    // What failed first; then by index.
    .toSorted((a, b) => Number(b.state === "failed") - Number(a.state === "failed") || a.map_index - b.map_index);
  return (
    <>
      {failed.length > 0 && <ErrorGroups failed={failed} onRetry={onRetry} />}
      <div className={classes.filters}>
        <SearchBox label={words.filter} value={q} onChange={(text) => set("q", text)} />
        <NativeSelect
          size="xs"
          aria-label={words.state}
          value={state}
          onChange={(event) => set("state", event.currentTarget.value)}
          data={[
            { value: "", label: `${strings.run.allStates} (${tasks.length})` },
            ...[...counts].map(([word, n]) => ({
              value: word,
              label: `${strings.states[stateWord(word)]} (${n})`,
            })),
          ]}
        />
        <Text size="xs" c="dimmed">
          {strings.run.shown(shown.length, total)}
        </Text>
      </div>
      {tasks.length < total && <Text size="xs">{strings.run.tooMany(tasks.length, total)}</Text>}
      {shown.length === 0 ? (
        <EmptyState text={words.noMatch} />
      ) : (
        <ScrollTable
          label={words.tab.mapped}
          head={[words.mapIndex, words.mapName, words.state, words.duration, words.try, words.host, words.started]}
        >
          {shown.slice((page - 1) * PER_PAGE, page * PER_PAGE).map((task) => (
            <Table.Tr key={task.map_index}>
              <Table.Td>
                <Link to={paths.task({ ...taskKey, mapIndex: task.map_index })}>{task.map_index}</Link>
              </Table.Td>
              <Table.Td maw={360} style={{ overflowWrap: "anywhere" }}>
                <Link to={paths.task({ ...taskKey, mapIndex: task.map_index })}>
                  {task.rendered_map_index ?? words.mapped(task.task_display_name, task.map_index)}
                </Link>
              </Table.Td>
              <Table.Td>
                <StateChip state={task.state} />
              </Table.Td>
              <Table.Td>
                <Elapsed {...task} />
              </Table.Td>
              <Table.Td>
                {task.try_number > 0 ? words.tryOf(task.try_number, task.max_tries + 1) : strings.app.none}
              </Table.Td>
              <Table.Td>{task.hostname || strings.app.none}</Table.Td>
              <Table.Td>
                <Time at={task.start_date} />
              </Table.Td>
            </Table.Tr>
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={PER_PAGE} total={shown.length} />
    </>
  );
}

function ErrorGroups({ failed, onRetry }: { failed: TaskInstance[]; onRetry: (failed: TaskInstance[]) => void }) {
  const asked = failed.slice(0, ASKED);
  const errors = useQueries({
    queries: asked.map((task) => ({
      ...lastErrorQuery(keyOf(task), task.try_number),
      enabled: task.try_number > 0,
    })),
  });
  const words = strings.tasks;
  const known = asked.map((task, index) => ({ task, error: errors[index]?.data?.sentence ?? null }));
  const groups = byKind(known, ({ error }) => error);
  return (
    <section className={classes.groups} aria-label={words.errorGroups}>
      <div className={classes.groupsHead}>
        <h2>{words.errorGroups}</h2>
        <CanButton needs="Write:TaskInstance" size="compact-sm" onClick={() => onRetry(failed)}>
          {words.retryThem(failed.length)}
        </CanButton>
      </div>
      {groups.map(({ kind, things }) => (
        <div key={kind} className={classes.group}>
          <span className={classes.groupCount}>
            <StateMark state="failed" size={16} /> {words.times(things.length)}
          </span>
          <span className={classes.groupText}>{things[0]?.error ?? words.noReason}</span>
          <span className={classes.groupLinks}>
            {things.slice(0, 8).map(({ task }) => (
              <Link key={task.map_index} to={paths.log(keyOf(task), task.try_number)}>
                {task.rendered_map_index ?? task.map_index}
              </Link>
            ))}
            {things.length > 8 && <span className={classes.muted}>{strings.clear.more(things.length - 8)}</span>}
          </span>
        </div>
      ))}
      {failed.length > ASKED && <span className={classes.muted}>{strings.clear.more(failed.length - ASKED)}</span>}
    </section>
  );
}
