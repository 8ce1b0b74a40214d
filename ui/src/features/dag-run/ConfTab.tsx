import { Button } from "@mantine/core";
import { Link } from "react-router";

import type { DagRun } from "../../api/client";
import { strings } from "../../lib/strings";
import { JsonValue } from "../../parts/task/JsonTree";
import { paths } from "../../paths";
import { CopyButton } from "../../ui/CopyButton";
import { EmptyState } from "../../ui/EmptyState";
import { Facts } from "../../ui/Facts";
import { Time } from "../../ui/Time";
import classes from "./run.module.css";

/** What the run was started with, and the interval that it is about. */
export function ConfTab({ run }: { run: DagRun }) {
  const words = strings.run;
  const conf = run.conf ?? {};
  const isEmpty = Object.keys(conf).length === 0;
  return (
    <>
      <Facts
        facts={{
          [words.logicalDate]: <Time at={run.logical_date} />,
          [words.interval]:
            run.data_interval_start === null ? null : (
              <>
                <Time at={run.data_interval_start} /> – <Time at={run.data_interval_end} />
              </>
            ),
          [words.queuedAt]: <Time at={run.queued_at} />,
          [words.when]: <Time at={run.run_after} />,
        }}
      />
      <section className={classes.conf} aria-label={words.conf}>
        <div className={classes.confHead}>
          <h2>{words.conf}</h2>
          {!isEmpty && <CopyButton text={JSON.stringify(conf, null, 2)} label={words.copyConf} />}
          <Button
            component={Link}
            to={paths.trigger(run.dag_id, run.dag_run_id)}
            size="compact-sm"
            variant="default"
            ml="auto"
          >
            {words.rerun}
          </Button>
        </div>
        {isEmpty ? <EmptyState text={words.noConf} /> : <JsonValue value={conf} label={words.conf} />}
      </section>
    </>
  );
}
