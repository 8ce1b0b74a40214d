import { Link } from "react-router";

import type { Home, TaskRefSince } from "../../api/queries/home";
import { reasonText } from "../../lib/reasons";
import { strings } from "../../lib/strings";
import { number } from "../../lib/strings/plural";
import { paths } from "../../paths";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import classes from "./home.module.css";

/** What waits and why: one row per reason, with some of the tasks it holds. */
export function WaitingList({ groups }: { groups: Home["waiting"]["groups"] }) {
  if (groups.length === 0) return <p className={classes.quiet}>{strings.home.waitingNone}</p>;
  return (
    <ul className={classes.list}>
      {groups.map(({ reason, count, since, examples }) => (
        <li key={JSON.stringify(reason)} className={classes.item}>
          <StateMark state="scheduled" />
          <div className={classes.what}>
            <div className={classes.line}>
              <span>{reasonText(reason)}</span>
              {since !== null && (
                <span className={classes.fact}>
                  <Time at={since} short />
                </span>
              )}
            </div>
            <div className={classes.refs}>
              {examples.map((example) => (
                <TaskLink
                  key={`${example.dag_id} ${example.dag_run_id} ${example.task_id} ${example.map_index}`}
                  of={example}
                />
              ))}
            </div>
          </div>
          <b className={classes.number}>{number(count)}</b>
        </li>
      ))}
    </ul>
  );
}

export function TaskLink({ of }: { of: TaskRefSince }) {
  const { dag_id: dagId, dag_run_id: runId, task_id: taskId, map_index } = of;
  const mapIndex = map_index ?? -1;
  const to = taskId === null ? paths.run(dagId, runId) : paths.task({ dagId, runId, taskId, mapIndex });
  const name = taskId === null ? dagId : `${dagId} › ${taskId}${mapIndex < 0 ? "" : ` [${mapIndex}]`}`;
  return (
    <Link to={to} title={name}>
      {name}
    </Link>
  );
}
