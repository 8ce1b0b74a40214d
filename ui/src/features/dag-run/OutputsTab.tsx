import { useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { runXcomsQuery } from "../../api/queries/task";
import { strings } from "../../lib/strings";
import { XCom } from "../../parts/task/XCom";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import classes from "./run.module.css";

/** Values that are read at once. */
const SHOWN = 20;

/** The values that the tasks of the run gave. */
export function OutputsTab({ dagId, runId }: { dagId: string; runId: string }) {
  const { data } = useSuspenseQuery(runXcomsQuery(dagId, runId));
  const entries = data.xcom_entries;
  if (entries.length === 0) return <EmptyState text={strings.run.noOutputs} />;
  return (
    <div className={classes.outputs}>
      {entries.slice(0, SHOWN).map((entry) => {
        const key = { dagId, runId, taskId: entry.task_id, mapIndex: entry.map_index };
        return (
          <XCom
            key={`${entry.task_id} ${entry.map_index} ${entry.key}`}
            task={key}
            name={entry.key}
            at={entry.timestamp}
            title={
              <Link to={paths.task(key, "xcoms")}>
                {entry.map_index < 0
                  ? entry.task_display_name
                  : strings.tasks.mapped(entry.task_display_name, entry.map_index)}
              </Link>
            }
          />
        );
      })}
      {(data.total_entries ?? 0) > SHOWN && (
        <p className={classes.muted}>{strings.clear.more((data.total_entries ?? 0) - SHOWN)}</p>
      )}
    </div>
  );
}
