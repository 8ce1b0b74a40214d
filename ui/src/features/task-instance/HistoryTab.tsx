import { Table } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import type { TaskKey } from "../../api/queries";
import { taskHistoryQuery } from "../../api/queries/task";
import { median } from "../../lib/median";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { ScrollTable } from "../../ui/ScrollTable";
import { StateChip } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import classes from "./task-instance.module.css";

/** The last runs of this task: how they ended, and how long each took beside the others. */
export function HistoryTab({ taskKey }: { taskKey: TaskKey }) {
  const { data: tasks } = useSuspenseQuery(taskHistoryQuery(taskKey.dagId, taskKey.taskId, taskKey.mapIndex));
  const words = strings.tasks;
  if (tasks.length === 0) return <EmptyState text={words.noHistory} />;
  const durations = tasks.flatMap((task) => (task.duration === null ? [] : [task.duration]));
  const longest = Math.max(0.001, ...durations);
  const usual = median(durations);
  return (
    <>
      <p className={classes.historyHead}>
        {words.historyOf(tasks.length)}
        {usual !== null && ` · ${words.median(duration(usual))}`}
      </p>
      <ScrollTable
        label={words.tab.history}
        head={[strings.run.when, words.state, words.duration, words.try, words.host, words.version]}
      >
        {tasks.map((task) => {
          const isThis = task.dag_run_id === taskKey.runId;
          return (
            <Table.Tr key={task.dag_run_id} className={isThis ? classes.thisRun : undefined}>
              <Table.Td>
                <Link
                  to={paths.task({ ...taskKey, runId: task.dag_run_id })}
                  aria-current={isThis ? "page" : undefined}
                >
                  <Time at={task.run_after} />
                </Link>
                {isThis && <span className={classes.muted}> {words.thisRun}</span>}
              </Table.Td>
              <Table.Td>
                <StateChip state={task.state} />
              </Table.Td>
              <Table.Td>
                <div className={classes.durationCell}>
                  <span className={classes.bar}>
                    <i style={{ width: `${((task.duration ?? 0) / longest) * 100}%` }} data-state={task.state} />
                  </span>
                  <Elapsed {...task} />
                </div>
              </Table.Td>
              <Table.Td>
                {task.try_number > 0 ? words.tryOf(task.try_number, task.max_tries + 1) : strings.app.none}
              </Table.Td>
              <Table.Td>{task.hostname || strings.app.none}</Table.Td>
              <Table.Td>{task.dag_version?.version_number ?? strings.app.none}</Table.Td>
            </Table.Tr>
          );
        })}
      </ScrollTable>
    </>
  );
}
