import { useSuspenseQuery } from "@tanstack/react-query";

import type { TaskInstance } from "../../api/client";
import type { TaskKey } from "../../api/queries";
import { xcomsQuery } from "../../api/queries/task";
import { isFinished } from "../../lib/states";
import { strings } from "../../lib/strings";
import { XCom } from "../../parts/task/XCom";
import { EmptyState } from "../../ui/EmptyState";
import classes from "./task-instance.module.css";

/** What the task gave to those after it. */
export function XComsTab({ task, taskKey }: { task: TaskInstance; taskKey: TaskKey }) {
  const { data } = useSuspenseQuery(xcomsQuery(taskKey, task.state));
  if (data.xcom_entries.length === 0) {
    return <EmptyState text={isFinished(task.state) ? strings.tasks.noXcoms : strings.tasks.noXcomsYet} />;
  }
  return (
    <div className={classes.values}>
      {data.xcom_entries.map((entry) => (
        <XCom key={entry.key} task={{ ...taskKey, mapIndex: entry.map_index }} name={entry.key} at={entry.timestamp} />
      ))}
    </div>
  );
}
