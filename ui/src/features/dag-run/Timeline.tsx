import { Link } from "react-router";

import type { DagRun, TaskInstance } from "../../api/client";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { duration, elapsed } from "../../lib/time";
import { keyOf, taskName } from "../../parts/task/names";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { useNow } from "../../ui/now";
import { StateMark } from "../../ui/StateMark";
import classes from "./run.module.css";

const SHOWN = 300;

/** When each task waited and ran, from the start of the run to its end. */
export function Timeline({ run, tasks }: { run: DagRun; tasks: TaskInstance[] }) {
  const isOver = run.end_date !== null;
  const second = useNow((now) => (isOver ? 0 : Math.floor(now / 1000) * 1000));
  const end = run.end_date === null ? second : Date.parse(run.end_date);
  const started = tasks
    .filter((task) => task.start_date !== null && task.state !== "upstream_failed")
    .toSorted((a, b) => (a.start_date ?? "").localeCompare(b.start_date ?? ""));
  const begins = started.map((task) => Date.parse(task.queued_when ?? task.start_date ?? ""));
  const start = Math.min(...begins, ...(run.start_date === null ? [] : [Date.parse(run.start_date)]));
  if (started.length === 0 || !Number.isFinite(start)) return <EmptyState text={strings.run.timelineEmpty} />;
  const last = Math.max(end, ...started.map((task) => (task.end_date === null ? end : Date.parse(task.end_date))));
  const span = Math.max(1, last - start);
  const at = (iso: string | null) => (((iso === null ? end : Date.parse(iso)) - start) / span) * 100;
  return (
    <div className={classes.timeline}>
      <div className={classes.scale} aria-hidden="true">
        {[0, 0.25, 0.5, 0.75, 1].map((share) => (
          <span key={share}>{duration((span * share) / 1000)}</span>
        ))}
      </div>
      <ul aria-label={strings.run.timeline}>
        {started.slice(0, SHOWN).map((task) => {
          const from = at(task.start_date);
          const to = at(task.end_date);
          const queued = task.queued_when === null ? from : Math.min(from, at(task.queued_when));
          const seconds = elapsed(task, end) ?? 0;
          const word = strings.states[stateWord(task.state)];
          return (
            <li key={`${task.task_id} ${task.map_index}`}>
              <Link
                className={classes.bar}
                to={paths.task(keyOf(task))}
                aria-label={`${taskName(task)}: ${word}, ${duration(seconds)}`}
              >
                <span className={classes.barName}>
                  <StateMark state={task.state} size={14} /> {taskName(task)}
                </span>
                <span className={classes.track}>
                  <i className={classes.queued} style={{ left: `${queued}%`, width: `${from - queued}%` }} />
                  <i
                    className={classes.ran}
                    data-state={stateWord(task.state)}
                    style={{ left: `${from}%`, width: `max(3px, ${to - from}%)` }}
                  />
                </span>
                <span className={classes.barTime}>{duration(seconds)}</span>
              </Link>
            </li>
          );
        })}
      </ul>
      {started.length > SHOWN && <p className={classes.muted}>{strings.clear.more(started.length - SHOWN)}</p>}
    </div>
  );
}
