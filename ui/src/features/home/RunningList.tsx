import { Link } from "react-router";

import type { Home } from "../../api/queries/home";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import { paths } from "../../paths";
import { useNow } from "../../ui/now";
import { StateMark } from "../../ui/StateMark";
import { Elapsed } from "../../ui/Time";
import classes from "./home.module.css";

/** From here on it is worth a word. */
const LONG = 1.5;

/** What runs, the longest over its usual time first. */
export function RunningList({ items }: { items: Home["running"]["items"] }) {
  if (items.length === 0) return <p className={classes.quiet}>{strings.home.runningNone}</p>;
  return (
    <ul className={classes.list}>
      {items.map((item) => (
        <Row key={`${item.dag_id} ${item.dag_run_id} ${item.task_id} ${item.map_index}`} item={item} />
      ))}
    </ul>
  );
}

function Row({ item }: { item: Home["running"]["items"][number] }) {
  const words = strings.home;
  const { dag_id: dagId, dag_run_id: runId, task_id: taskId, map_index: mapIndex, usual_duration: usual } = item;
  // In steps of a twentieth, so that not every second draws it anew.
  const share = useNow((now) =>
    usual === null || usual <= 0 || item.start_date === null
      ? null
      : Math.round(((now - Date.parse(item.start_date)) / 1000 / usual) * 20) / 20,
  );
  const long = share !== null && share >= LONG;
  return (
    <li className={classes.item}>
      <StateMark state="running" />
      <div className={classes.what}>
        <div className={classes.line}>
          <span className={classes.path}>
            <Link to={paths.run(dagId, runId)}>{dagId}</Link>
            <span aria-hidden="true"> › </span>
            <Link to={paths.task({ dagId, runId, taskId, mapIndex })}>
              {taskId}
              {mapIndex >= 0 && ` [${mapIndex}]`}
            </Link>
          </span>
          {item.hostname !== null && item.hostname !== "" && (
            <Link to={paths.nodes()} className={classes.fact}>
              {words.on(item.hostname)}
            </Link>
          )}
        </div>
        {share !== null && usual !== null && (
          <div className={classes.progress} title={words.usualIs(duration(usual))}>
            <i style={{ width: `${Math.min(1, share) * 100}%` }} data-long={long || undefined} />
          </div>
        )}
      </div>
      <span className={classes.number}>
        <Elapsed duration={null} start_date={item.start_date} end_date={null} />
        {long && <b className={classes.long}>{words.usual(share.toFixed(1))}</b>}
      </span>
    </li>
  );
}
