import { useQuery } from "@tanstack/react-query";
import { useLocation, useNavigate } from "react-router";

import type { TaskInstance } from "../../api/client";
import { tryFactsQuery, type TaskKey } from "../../api/queries";
import { isFinished } from "../../lib/states";
import { LogView, lineOf } from "../../parts/log/LogView";
import { useTryLog } from "../../parts/log/useTryLog";
import { ErrorCard } from "../../parts/task/ErrorCard";

/** The log of one try, under what went wrong in it. The caller is mounted anew for another try. */
export function LogTab({ task, taskKey, tryNumber }: { task: TaskInstance; taskKey: TaskKey; tryNumber: number }) {
  const { hash, search } = useLocation();
  const navigate = useNavigate();
  const { data } = useQuery({ ...tryFactsQuery(taskKey, task.state), enabled: task.try_number > 0 });
  const facts = data?.tries.find((one) => one.try_number === tryNumber);
  const isNewest = tryNumber >= task.try_number;
  const state = isNewest ? task.state : (facts?.state ?? null);
  const live = isNewest && !isFinished(state) && task.start_date !== null && state !== "up_for_retry";
  // An earlier try is there because it failed.
  const failed = isNewest ? state === "failed" || state === "up_for_retry" : (state ?? "failed") === "failed";
  const line = lineOf(hash);
  const openAt = line !== null ? ("offset" in line ? line : "start") : failed || live ? "end" : "start";
  const log = useTryLog(taskKey, Math.max(1, tryNumber), { live, failed, openAt });
  const { failure } = log;
  const openLine =
    failure === null
      ? null
      : () => void navigate({ search, hash: `#B${failure.line.offset}` }, { replace: true, preventScrollReset: true });
  const mayShow = failed && (failure !== null || (log.isSought && data !== undefined));
  return (
    <>
      {mayShow && (
        <ErrorCard
          failure={failure?.what ?? null}
          reason={facts?.failure_reason ?? null}
          failureClass={facts?.failure_class ?? null}
          onOpenLine={openLine}
        />
      )}
      <LogView
        log={log}
        live={live}
        state={state}
        startedAt={task.start_date}
        name={`${task.dag_id}.${task.task_id}${task.map_index < 0 ? "" : `.${task.map_index}`}.${tryNumber}`}
      />
    </>
  );
}
