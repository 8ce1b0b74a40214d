import { useSuspenseQuery } from "@tanstack/react-query";

import type { TaskInstance } from "../../api/client";
import { runQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { JsonValue } from "../../parts/task/JsonTree";
import { CopyButton } from "../../ui/CopyButton";
import { EmptyState } from "../../ui/EmptyState";
import classes from "./task-instance.module.css";

/** What the task was given: its rendered fields, and the conf of the run. */
export function InputsTab({ task }: { task: TaskInstance }) {
  const { data: run } = useSuspenseQuery(runQuery(task.dag_id, task.dag_run_id));
  const fields = Object.entries(task.rendered_fields ?? {}).filter(([, value]) => value !== null);
  const conf = run.conf ?? {};
  return (
    <div className={classes.values}>
      <h2>{strings.tasks.rendered}</h2>
      {fields.length === 0 ? (
        <EmptyState text={strings.tasks.noRendered} />
      ) : (
        fields.map(([name, value]) => (
          <div key={name} className={classes.value} role="group" aria-label={name}>
            <div className={classes.valueHead}>
              <code>{name}</code>
              <CopyButton
                text={typeof value === "string" ? value : JSON.stringify(value, null, 2)}
                label={strings.tasks.copyValue(name)}
              />
            </div>
            {typeof value === "string" ? <pre>{value}</pre> : <JsonValue value={value} label={name} />}
          </div>
        ))
      )}
      {Object.keys(conf).length > 0 && (
        <>
          <h2>{strings.tasks.conf}</h2>
          <div className={classes.value} role="group" aria-label={strings.tasks.conf}>
            <JsonValue value={conf} label={strings.tasks.conf} />
          </div>
        </>
      )}
    </div>
  );
}
