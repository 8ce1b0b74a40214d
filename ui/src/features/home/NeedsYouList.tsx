import { Button } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import { Link } from "react-router";

import type { ApprovalItem, FailureItem, ImportErrorItem, NeedsYou } from "../../api/queries/home";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import type { ClearTarget } from "../../parts/task/ClearSheet";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import classes from "./home.module.css";

const ClearSheet = lazy(async () => ({ default: (await import("../../parts/task/ClearSheet")).ClearSheet }));

export function NeedsYouList({ items, total }: { items: NeedsYou[]; total: number }) {
  const [target, setTarget] = useState<ClearTarget | null>(null);
  return (
    <>
      <ul className={classes.list}>
        {items.map((item) => {
          switch (item.kind) {
            case "failure":
              return (
                <Failure key={`${item.dag_id} ${item.dag_run_id} ${item.task_id}`} item={item} onRetry={setTarget} />
              );
            case "import_error":
              return <Broken key={`file ${item.import_error_id}`} item={item} />;
            case "approval":
              return <Asked key={`${item.dag_id} ${item.dag_run_id} ${item.task_id} ${item.map_index}`} item={item} />;
          }
        })}
      </ul>
      {total > items.length && (
        <Link to={paths.dags({ state: "failed" })} className={classes.rest}>
          {strings.home.more(total - items.length)}
        </Link>
      )}
      {target !== null && (
        <Suspense>
          <ClearSheet target={target} onClose={() => setTarget(null)} />
        </Suspense>
      )}
    </>
  );
}

function Failure({ item, onRetry }: { item: FailureItem; onRetry: (target: ClearTarget) => void }) {
  const words = strings.home;
  const { dag_id: dagId, dag_run_id: runId, task_id: taskId } = item;
  const failed = item.failed_instances ?? 0;
  const run = paths.run(dagId, runId);
  const to = taskId === null ? run : paths.task({ dagId, runId, taskId, mapIndex: item.map_index ?? -1 });
  const name = taskId === null ? dagId : `${dagId} › ${item.task_display_name ?? taskId}`;
  const mapped = (item.instances ?? 1) > 1;
  return (
    <li className={classes.item}>
      <StateMark state="failed" />
      <div className={classes.what}>
        <div className={classes.line}>
          <span className="sr-only">{words.failed}: </span>
          <span className={classes.path}>
            <Link to={run}>{dagId}</Link>
            {taskId !== null && (
              <>
                <span aria-hidden="true"> › </span>
                <Link to={to}>{item.task_display_name ?? taskId}</Link>
              </>
            )}
          </span>
          {mapped && <b className={classes.fact}>{words.ofInstances(failed, item.instances ?? 0)}</b>}
          {item.try_number !== null && item.max_tries !== null && (
            <span className={classes.fact}>{words.tryOf(item.try_number, item.max_tries + 1)}</span>
          )}
          {item.hostname !== null && item.hostname !== "" && (
            <span className={classes.fact}>{words.on(item.hostname)}</span>
          )}
          {item.run_state === "success" && <span className={classes.fact}>{words.green}</span>}
          <span className={classes.fact}>
            <Time at={item.end_date ?? item.run_after} short />
          </span>
        </div>
        <Link to={to} className={classes.error} title={item.last_error ?? item.failure_reason ?? undefined}>
          {item.last_error ?? item.failure_reason ?? words.noError}
        </Link>
      </div>
      <div className={classes.buttons}>
        <Button component={Link} to={to} size="compact-sm" variant="default" aria-label={words.logOf(name)}>
          {words.log}
        </Button>
        <CanButton
          needs="Write:TaskInstance"
          size="compact-sm"
          variant="light"
          aria-label={words.retryOf(`${dagId} › ${runId}`)}
          onClick={() =>
            onRetry({
              dagId,
              runId,
              tasks: null,
              name: null,
              onlyFailed: true,
              hasLogicalDate: item.run_type !== "manual",
            })
          }
        >
          {failed > 1 ? words.retryN(failed) : words.retry}
        </CanButton>
      </div>
    </li>
  );
}

function Broken({ item }: { item: ImportErrorItem }) {
  const words = strings.home;
  const place = [item.filename, item.line, item.column].filter((part) => part !== null).join(":");
  return (
    <li className={classes.item}>
      <span className={classes.bad}>
        <Icon name="warning" size={18} />
      </span>
      <div className={classes.what}>
        <div className={classes.line}>
          <span className="sr-only">{words.importError}: </span>
          <span className={classes.path}>
            <Link to={paths.importErrors()}>{place}</Link>
          </span>
          {item.dag_ids.length > 0 && <span className={classes.fact}>{words.keeps(item.dag_ids.length)}</span>}
          <span className={classes.fact}>
            <Time at={item.timestamp} short />
          </span>
        </div>
        <Link to={paths.importErrors()} className={classes.error} title={item.message}>
          {item.message}
        </Link>
      </div>
      <div className={classes.buttons}>
        <Button component={Link} to={paths.importErrors()} size="compact-sm" variant="default">
          {words.open}
        </Button>
      </div>
    </li>
  );
}

function Asked({ item }: { item: ApprovalItem }) {
  const words = strings.home;
  const address = { dagId: item.dag_id, runId: item.dag_run_id, taskId: item.task_id, mapIndex: item.map_index };
  return (
    <li className={classes.item}>
      <StateMark state="awaiting_input" />
      <div className={classes.what}>
        <div className={classes.line}>
          <span className="sr-only">{words.approval}: </span>
          <span className={classes.path}>
            <Link to={paths.run(item.dag_id, item.dag_run_id)}>{item.dag_id}</Link>
            <span aria-hidden="true"> › </span>
            <Link to={paths.task(address)}>{item.task_id}</Link>
          </span>
          <span className={classes.fact}>
            <Time at={item.since} short />
          </span>
          {item.deadline !== null && (
            <span className={classes.fact}>
              {words.until} <Time at={item.deadline} />
            </span>
          )}
        </div>
        <span className={classes.subject}>{item.subject}</span>
      </div>
      <div className={classes.buttons}>
        <Button component={Link} to={paths.task(address)} size="compact-sm">
          {words.answer}
        </Button>
      </div>
    </li>
  );
}
