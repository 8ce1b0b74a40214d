import { Checkbox, Text, Textarea } from "@mantine/core";
import { Fragment } from "react";

import type { TaskInstance } from "../../api/client";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import { StateMark } from "../../ui/StateMark";
import { stateWord } from "../../lib/states";
import { SkeletonRows } from "../../ui/Skeletons";
import { taskName } from "./names";
import { Time } from "../../ui/Time";
import classes from "./task.module.css";

/** Rows that are drawn; the rest is only counted. */
const SHOWN = 300;

export const instanceKey = (task: TaskInstance) => `${task.dag_run_id} ${task.task_id} ${task.map_index}`;

interface Props {
  label: string;
  nothing: string;
  /** Undefined while it is not known. */
  tasks: TaskInstance[] | undefined;
  /** Those that were unticked; null: they cannot be. */
  left: ReadonlySet<string> | null;
  onLeft: (left: Set<string>) => void;
}

/** What an action would touch, each with a check box, by run. */
export function Preview({ label, nothing, tasks, left, onLeft }: Props) {
  if (tasks === undefined) return <SkeletonRows rows={4} />;
  if (tasks.length === 0) return <Text c="dimmed">{nothing}</Text>;
  const runs = new Map<string, TaskInstance[]>();
  for (const task of tasks.slice(0, SHOWN)) runs.set(task.dag_run_id, [...(runs.get(task.dag_run_id) ?? []), task]);
  const toggle = (task: TaskInstance) => {
    const next = new Set(left);
    if (!next.delete(instanceKey(task))) next.add(instanceKey(task));
    onLeft(next);
  };
  const isAll = left === null || left.size === 0;
  return (
    <div>
      <div className={classes.previewHead}>
        <h3>{label}</h3>
        {left !== null && tasks.length > 1 && (
          <Checkbox
            size="xs"
            label={strings.clear.all}
            checked={isAll}
            indeterminate={!isAll && left.size < tasks.length}
            onChange={() => onLeft(isAll ? new Set(tasks.map(instanceKey)) : new Set())}
          />
        )}
      </div>
      <ul className={classes.preview} aria-label={label}>
        {[...runs].map(([runId, of]) => (
          <Fragment key={runId}>
            {runs.size > 1 && (
              <li className={classes.previewRun}>
                <Time at={of[0]?.run_after ?? null} />
              </li>
            )}
            {of.map((task) => (
              <li key={instanceKey(task)}>
                {left !== null && (
                  <Checkbox
                    size="xs"
                    aria-label={strings.clear.choose(taskName(task))}
                    checked={!left.has(instanceKey(task))}
                    onChange={() => toggle(task)}
                  />
                )}
                <StateMark state={task.state} size={16} />
                <span className={classes.previewName}>{taskName(task)}</span>
                <span className={classes.muted}>
                  {strings.states[stateWord(task.state)]}
                  {task.duration !== null && task.duration > 0 && ` · ${duration(task.duration)}`}
                </span>
              </li>
            ))}
          </Fragment>
        ))}
        {tasks.length > SHOWN && <li className={classes.muted}>{strings.clear.more(tasks.length - SHOWN)}</li>}
      </ul>
    </div>
  );
}

export function ReasonField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return (
    <Textarea
      label={strings.clear.reason}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      autosize
      minRows={1}
      maxRows={5}
      maxLength={1_000}
    />
  );
}

interface ReachProps<Key extends string> {
  options: { key: Key; label: string; reason?: string | null }[];
  value: Record<Key, boolean>;
  onChange: (key: Key, on: boolean) => void;
}

/** Past · Future · Upstream · Downstream · Only failed, as buttons that stay pressed. */
export function Segments<Key extends string>({ options, value, onChange }: ReachProps<Key>) {
  return (
    <fieldset className={classes.segments}>
      <legend>{strings.clear.also}</legend>
      {options.map(({ key, label, reason }) => (
        <Checkbox
          key={key}
          size="sm"
          label={label}
          checked={value[key]}
          disabled={reason != null}
          description={reason}
          onChange={(event) => onChange(key, event.currentTarget.checked)}
        />
      ))}
    </fieldset>
  );
}
