import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { messageOf } from "../../api/errors";
import type { TaskKey } from "../../api/queries";
import { xcomQuery } from "../../api/queries/task";
import { strings } from "../../lib/strings";
import { CopyButton } from "../../ui/CopyButton";
import { PanelError } from "../../ui/PanelError";
import { SkeletonRows } from "../../ui/Skeletons";
import { Time } from "../../ui/Time";
import { JsonValue } from "./JsonTree";
import classes from "./xcom.module.css";

/** One value that a task gave. */
export function XCom({ task, name, at, title }: { task: TaskKey; name: string; at: string; title?: ReactNode }) {
  const { data, error, isPending, refetch } = useQuery(xcomQuery(task, name, at));
  return (
    <div className={classes.value} role="group" aria-label={name}>
      <div className={classes.head}>
        {title}
        <code>{name}</code>
        <span className={classes.muted}>
          <Time at={at} short />
        </span>
        {data !== undefined && (
          <CopyButton
            text={() => (typeof data === "string" ? data : JSON.stringify(data, null, 2))}
            label={strings.tasks.copyValue(name)}
          />
        )}
      </div>
      {isPending && <SkeletonRows rows={1} />}
      {error !== null && <PanelError message={messageOf(error)} onRetry={() => void refetch()} />}
      {!isPending && error === null && <JsonValue value={data} label={name} />}
    </div>
  );
}
