import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { poolQuery } from "../../api/queries/admin";
import { whyQuery, type TaskKey } from "../../api/queries";
import { messageOf } from "../../api/errors";
import { reasonText, type Reason } from "../../lib/reasons";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import { PanelError } from "../../ui/PanelError";
import { Time } from "../../ui/Time";
import classes from "./task.module.css";

/** Why a task does not run, who holds what it needs, and what to press. */
export function WhyCard({ task, state }: { task: TaskKey; state: string | null }) {
  const { data, error, refetch } = useQuery(whyQuery(task, state));
  if (data === undefined) {
    if (error !== null) return <PanelError message={messageOf(error)} onRetry={() => void refetch()} />;
    return <div className={classes.why} style={{ minHeight: 60 }} />;
  }
  return (
    <section className={classes.why} aria-label={strings.tasks.waits}>
      <Icon name="clock" />
      <div className={classes.whyBody}>
        {data.reasons.length === 0 && <p>{strings.tasks.notWaiting}</p>}
        {data.reasons.map((reason) => (
          <div key={JSON.stringify(reason)}>
            <p className={classes.whySentence}>{reasonText(reason)}</p>
            {typeof reason["pool"] === "string" && reason.code === "pool_full" && (
              <Holders pool={reason["pool"]} task={task} />
            )}
            <Presses reason={reason} task={task} />
          </div>
        ))}
      </div>
    </section>
  );
}

/** Who has the slots of a pool. */
function Holders({ pool, task }: { pool: string; task: TaskKey }) {
  const { data } = useQuery(poolQuery(pool));
  if (data === undefined || data.holders.length === 0) return null;
  const place = data.waiting?.findIndex(
    (one) =>
      one.dag_id === task.dagId &&
      one.dag_run_id === task.runId &&
      one.task_id === task.taskId &&
      one.map_index === task.mapIndex,
  );
  const waiting = Math.max(data.scheduled, data.waiting?.length ?? 0);
  return (
    <ul className={classes.holders}>
      <li className={classes.muted}>{strings.tasks.heldBy}</li>
      {data.holders.slice(0, 4).map((holder) => {
        const key = {
          dagId: holder.dag_id,
          runId: holder.dag_run_id,
          taskId: holder.task_id,
          mapIndex: holder.map_index,
        };
        return (
          <li key={JSON.stringify(key)}>
            <Link to={paths.task(key)}>
              {holder.dag_id} › {holder.task_id}
              {holder.map_index >= 0 && ` [${holder.map_index}]`}
            </Link>{" "}
            <span className={classes.muted}>
              <Time at={holder.since} short />
            </span>
          </li>
        );
      })}
      {place !== undefined && place >= 0 && <li>{strings.tasks.inLine(place + 1, waiting)}</li>}
    </ul>
  );
}

/** Links to where the reason can be mended. */
function Presses({ reason, task }: { reason: Reason; task: TaskKey }) {
  const presses: { to: string; label: string }[] = [];
  const text = (key: string) => (typeof reason[key] === "string" ? reason[key] : null);
  const pool = text("pool");
  if (pool !== null)
    presses.push({ to: `${paths.pools()}?pool=${encodeURIComponent(pool)}`, label: strings.tasks.openPool(pool) });
  const node = text("executor");
  if (node !== null) presses.push({ to: paths.nodes({ node }), label: strings.tasks.openNode(node) });
  else if (/node/.test(reason.code)) presses.push({ to: paths.nodes(), label: strings.tasks.openNodes });
  const waitingFor = reason["waiting_for"];
  if (Array.isArray(waitingFor)) {
    for (const taskId of waitingFor.slice(0, 3)) {
      if (typeof taskId !== "string") continue;
      presses.push({ to: paths.task({ ...task, taskId, mapIndex: -1 }), label: strings.tasks.openTask(taskId) });
    }
  }
  if (/max_active_runs/.test(reason.code)) {
    presses.push({ to: paths.dag(task.dagId, "runs", { state: "running" }), label: strings.tasks.openRuns });
  }
  if (reason.code === "dag_paused")
    presses.push({ to: paths.dag(task.dagId), label: strings.tasks.openDagOf(task.dagId) });
  const dagId = text("dag_id");
  if (dagId !== null) {
    const runId = text("run_id");
    presses.push({
      to: runId === null ? paths.dag(dagId) : paths.run(dagId, runId),
      label: strings.tasks.openDagOf(dagId),
    });
  }
  if (presses.length === 0) return null;
  return (
    <div className={classes.presses}>
      {presses.map(({ to, label }) => (
        <Button key={to} component={Link} to={to} size="compact-sm" variant="default">
          {label}
        </Button>
      ))}
    </div>
  );
}
