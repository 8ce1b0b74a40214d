import { Checkbox, Group, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { client, ok } from "../../api/client";
import { messageOf } from "../../api/errors";
import { hitlQuery } from "../../api/queries/task";
import type { TaskKey } from "../../api/queries";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { Notice } from "../../ui/Notice";
import { PanelError } from "../../ui/PanelError";
import { Time } from "../../ui/Time";
import classes from "./task-instance.module.css";

/** A question to a person: what is asked, and the answers that it takes. */
export function Approval({ task }: { task: TaskKey }) {
  const { data, error, refetch } = useQuery(hitlQuery(task));
  const queries = useQueryClient();
  const [chosen, setChosen] = useState<string[] | null>(null);
  const answer = useMutation({
    mutationFn: (chosen_options: string[]) => {
      const path = { dag_id: task.dagId, dag_run_id: task.runId, task_id: task.taskId, map_index: task.mapIndex };
      return ok(
        client.PATCH("/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails", {
          params: { path },
          body: { chosen_options, params_input: data?.params_input ?? {} },
        }),
      );
    },
    onSuccess: () => queries.invalidateQueries({ queryKey: ["run", task.dagId, task.runId] }),
  });
  if (data === undefined) {
    return error === null ? null : <PanelError message={messageOf(error)} onRetry={() => void refetch()} />;
  }
  const given = chosen ?? data.defaults ?? [];
  return (
    <section className={classes.approval} aria-label={strings.tasks.approvals}>
      <h2>{data.subject}</h2>
      {data.body !== null && <pre>{data.body}</pre>}
      {answer.error !== null && <Notice error>{messageOf(answer.error)}</Notice>}
      <div className={classes.answers}>
        {data.multiple ? (
          <Checkbox.Group value={given} onChange={setChosen}>
            <Group gap="sm">
              {data.options.map((option) => (
                <Checkbox key={option} value={option} label={option} />
              ))}
              <CanButton needs="Write:TaskInstance" loading={answer.isPending} onClick={() => answer.mutate(given)}>
                {strings.tasks.answer}
              </CanButton>
            </Group>
          </Checkbox.Group>
        ) : (
          data.options.map((option, index) => (
            <CanButton
              key={option}
              needs="Write:TaskInstance"
              variant={index === 0 ? "filled" : "default"}
              loading={answer.isPending && answer.variables.includes(option)}
              onClick={() => answer.mutate([option])}
            >
              {option}
            </CanButton>
          ))
        )}
        <Text size="xs" c="dimmed">
          <Time at={data.created_at} />
          {data.assigned_users.length > 0 && ` · ${data.assigned_users.map((user) => user.name).join(", ")}`}
        </Text>
      </div>
    </section>
  );
}
