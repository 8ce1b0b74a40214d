import { Button, Stack, Text } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";

import type { TaskInstance } from "../../api/client";
import { messageOf } from "../../api/errors";
import { clear, useClearTasks, type Clearing, type Reach, type TaskRef } from "../../api/mutations/tasks";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { CanButton } from "../Can";
import { instanceKey, Preview, ReasonField, Segments } from "./Preview";

export interface ClearTarget {
  dagId: string;
  runId: string;
  /** Null: every task of the run. */
  tasks: TaskRef[] | null;
  /** What it is called in the title; null for the run, or what of it failed. */
  name: string | null;
  onlyFailed: boolean;
  downstream?: boolean;
  hasLogicalDate: boolean;
}

/** Shows what would run again before anything does; the button says how many tasks that is. */
export function ClearSheet({ target, onClose }: { target: ClearTarget | null; onClose: () => void }) {
  return target === null ? null : <Open key={JSON.stringify(target)} target={target} onClose={onClose} />;
}

function Open({ target, onClose }: { target: ClearTarget; onClose: () => void }) {
  const [reach, setReach] = useState<Reach>({
    past: false,
    future: false,
    upstream: false,
    downstream: target.downstream ?? (target.tasks !== null && !target.onlyFailed),
    onlyFailed: target.onlyFailed,
  });
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const [note, setNote] = useState("");
  const what: Clearing = { dagId: target.dagId, runId: target.runId, tasks: target.tasks, ...reach, note: null };
  const preview = useQuery({
    queryKey: ["clearPreview", what],
    queryFn: ({ signal }) => clear(what, true, signal),
    placeholderData: keepPreviousData,
    staleTime: 0,
    gcTime: 0,
  });
  const mutation = useClearTasks();
  const found = preview.data ?? [];
  const chosen = found.filter((task) => !left.has(instanceKey(task)));
  const runs = new Set(found.map((task) => task.dag_run_id)).size;
  const submit = () => {
    // All of them: what becomes of the run meanwhile counts too. Else exactly those that are ticked.
    const exact = { past: false, future: false, upstream: false, downstream: false, onlyFailed: false };
    const tasks = left.size === 0 ? what.tasks : refsOf(chosen);
    mutation.mutate({ ...what, ...(left.size === 0 ? {} : exact), tasks, note }, { onSuccess: onClose });
  };
  const noDate = target.hasLogicalDate ? null : strings.clear.noDate;
  const title =
    target.name !== null
      ? strings.clear.title(target.name)
      : target.onlyFailed
        ? strings.clear.titleFailed
        : strings.clear.titleRun;
  const cost = costOf(chosen);
  return (
    <Sheet
      opened
      onClose={onClose}
      title={title}
      footer={
        <>
          <Text size="xs" c="dimmed" mr="auto">
            {cost > 0 && strings.clear.about(duration(cost))}
            {runs > 1 && ` ${strings.clear.runs(runs)}`}
          </Text>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton
            needs="Write:TaskInstance"
            reason={chosen.length === 0 ? strings.clear.nothing : null}
            loading={mutation.isPending || preview.isPlaceholderData}
            onClick={submit}
          >
            {target.onlyFailed ? strings.clear.submitRetry(chosen.length) : strings.clear.submit(chosen.length)}
          </CanButton>
        </>
      }
    >
      <Stack gap="md">
        <Text size="sm">{strings.clear.explain}</Text>
        <Segments
          options={[
            { key: "past", label: strings.clear.past, reason: noDate },
            { key: "future", label: strings.clear.future, reason: noDate },
            { key: "upstream", label: strings.clear.upstream },
            { key: "downstream", label: strings.clear.downstream },
            { key: "onlyFailed", label: strings.clear.onlyFailed },
          ]}
          value={reach}
          onChange={(key, on) => {
            setReach({ ...reach, [key]: on });
            setLeft(new Set());
          }}
        />
        {(mutation.error ?? preview.error) !== null && (
          <Notice error>{messageOf(mutation.error ?? preview.error)}</Notice>
        )}
        {preview.error === null && (
          <Preview
            label={strings.clear.preview}
            nothing={strings.clear.nothing}
            tasks={preview.data}
            // Of several runs only all can be cleared: a task is named within one run.
            left={runs > 1 ? null : left}
            onLeft={setLeft}
          />
        )}
        <ReasonField value={note} onChange={setNote} />
      </Stack>
    </Sheet>
  );
}

const refsOf = (tasks: TaskInstance[]): TaskRef[] =>
  tasks.map((task) => ({ taskId: task.task_id, mapIndex: task.map_index }));

/** Seconds that they took the last time, together. */
const costOf = (tasks: TaskInstance[]) => tasks.reduce((sum, task) => sum + (task.duration ?? 0), 0);
