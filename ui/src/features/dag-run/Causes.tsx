import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import type { DagRun, TaskInstance } from "../../api/client";
import { tryFactsQuery } from "../../api/queries";
import { lastErrorQuery } from "../../api/queries/failure";
import type { Cause, Causes as Found } from "../../lib/causes";
import { strings } from "../../lib/strings";
import { keyOf } from "../../parts/task/names";
import { paths } from "../../paths";
import { StateMark } from "../../ui/StateMark";
import classes from "./run.module.css";

const SHOWN = 5;
const NAMED = 8;

/** What broke by itself, first; then what did not run because of it. Nothing when nothing broke. */
export function Causes({ run, found }: { run: DagRun; found: Found<TaskInstance> }) {
  const words = strings.run;
  const { roots, consequences, retrying } = found;
  if (roots.length === 0 && retrying.length === 0) return null;
  return (
    <section className={classes.causes} aria-label={words.rootCause}>
      {roots.length > 0 && (
        <>
          <h2>{roots.length === 1 ? words.rootCause : words.rootCauses(roots.length)}</h2>
          {roots.slice(0, SHOWN).map((cause) => (
            <Root key={cause.taskId} cause={cause} />
          ))}
          {roots.length > SHOWN && (
            <Link to={paths.run(run.dag_id, run.dag_run_id, "tasks", { state: "failed" })}>
              {words.moreCauses(roots.length - SHOWN)}
            </Link>
          )}
        </>
      )}
      {consequences.length > 0 && (
        <div className={classes.consequences}>
          <h2>{words.because}</h2>
          <p>
            <StateMark state="upstream_failed" size={16} /> {words.didNotRun(consequences.length)}{" "}
            {consequences.slice(0, NAMED).map((taskId, index) => (
              <span key={taskId}>
                {index > 0 && ", "}
                <Link to={paths.task({ dagId: run.dag_id, runId: run.dag_run_id, taskId, mapIndex: -1 })}>
                  {taskId}
                </Link>
              </span>
            ))}
            {consequences.length > NAMED && ` ${strings.clear.more(consequences.length - NAMED)}`}
          </p>
        </div>
      )}
      {retrying.length > 0 && (
        <>
          <h2>{words.retrying}</h2>
          {retrying.slice(0, SHOWN).map((cause) => (
            <Root key={cause.taskId} cause={cause} />
          ))}
        </>
      )}
    </section>
  );
}

function Root({ cause }: { cause: Cause<TaskInstance> }) {
  const words = strings.run;
  const first = cause.failed[0] as TaskInstance;
  const key = keyOf(first);
  const hasRun = first.try_number > 0;
  const { data: error, isPending } = useQuery({ ...lastErrorQuery(key, first.try_number), enabled: hasRun });
  // What the server says of it, where the log says nothing.
  const facts = useQuery({ ...tryFactsQuery(key, first.state), enabled: hasRun && !isPending && error?.kind == null });
  const reason = facts.data?.tries.find((one) => one.try_number === first.try_number)?.failure_reason;
  const isMapped = cause.instances > 1 || first.map_index >= 0;
  return (
    <div className={classes.root}>
      <StateMark state={first.state} size={18} />
      <div className={classes.rootBody}>
        <div className={classes.rootHead}>
          <Link to={paths.task(isMapped ? { ...key, mapIndex: -1 } : key)}>{first.task_display_name}</Link>
          {isMapped && <span className={classes.muted}>{words.ofInstances(cause.failed.length, cause.instances)}</span>}
          {hasRun && <span className={classes.muted}>{words.tryOf(first.try_number, first.max_tries + 1)}</span>}
          {error?.place != null && <code className={classes.place}>{error.place}</code>}
        </div>
        <p className={classes.rootText}>
          {(error?.kind == null ? (reason ?? error?.sentence) : error.sentence) ??
            (isPending && hasRun ? strings.app.loading : strings.tasks.noReason)}
        </p>
      </div>
      {hasRun && (
        <Link
          className={classes.openLog}
          to={`${paths.log(key, first.try_number)}${error == null ? "" : `#B${error.offset}`}`}
        >
          {error == null ? strings.tasks.log : words.openLog}
        </Link>
      )}
    </div>
  );
}
