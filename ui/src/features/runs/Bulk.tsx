import { Button, Group, SegmentedControl, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import type { DagRun } from "../../api/client";
import { messageOf } from "../../api/errors";
import { clearRunsPreview, useBulkRuns, type BulkAction } from "../../api/mutations";
import { runKey } from "../../api/queries";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { LongId } from "../../ui/LongId";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { StateChip } from "../../ui/StateMark";
import { toast } from "../../ui/toasts";
import classes from "./runs.module.css";

/** So many runs are listed in a dialog. */
const LISTED = 20;

interface Props {
  runs: DagRun[];
  /** Whether the runs are of several DAGs. */
  names: boolean;
  onDone: () => void;
}

/** What can be done with the runs that are selected. Each opens a dialog that says what it will touch. */
export function Bulk({ runs, names, onDone }: Props) {
  const [action, setAction] = useState<BulkAction | null>(null);
  if (runs.length === 0) return null;
  const buttons: [string, BulkAction][] = [
    [strings.runs.clear, { do: "clear", onlyFailed: runs.some((run) => run.state === "failed") }],
    [strings.runs.markSuccess, { do: "mark", state: "success" }],
    [strings.runs.markFailed, { do: "mark", state: "failed" }],
    [strings.runs.remove, { do: "delete" }],
  ];
  return (
    <div className={classes.bulk} role="toolbar" aria-label={strings.runs.selected(runs.length)}>
      <strong role="status">{strings.runs.selected(runs.length)}</strong>
      {buttons.map(([label, does]) => (
        <CanButton
          key={label}
          needs="Write:DagRun"
          size="compact-sm"
          variant={does.do === "delete" ? "outline" : "default"}
          {...(does.do === "delete" ? { color: "red" } : {})}
          onClick={() => setAction(does)}
        >
          {label}
        </CanButton>
      ))}
      <Button size="compact-sm" variant="subtle" color="gray" c="inherit" onClick={onDone}>
        {strings.runs.unselect}
      </Button>
      {action !== null && (
        <Dialog
          runs={runs}
          names={names}
          action={action}
          onAction={setAction}
          onClose={() => setAction(null)}
          onDone={() => {
            setAction(null);
            onDone();
          }}
        />
      )}
    </div>
  );
}

interface DialogProps extends Props {
  action: BulkAction;
  onAction: (action: BulkAction) => void;
  onClose: () => void;
}

function Dialog({ runs, names, action, onAction, onClose, onDone }: DialogProps) {
  const bulk = useBulkRuns();
  const isClear = action.do === "clear";
  const onlyFailed = isClear && action.onlyFailed;
  const preview = useQuery({ ...clearRunsPreview(runs, onlyFailed), enabled: isClear });
  const tasks = preview.data?.task_instances?.length ?? preview.data?.total_entries ?? 0;
  const perRun = new Map<string, number>();
  for (const task of preview.data?.task_instances ?? []) perRun.set(runKey(task), (perRun.get(runKey(task)) ?? 0) + 1);

  const affected = action.do === "mark" ? runs.filter((run) => run.state !== action.state) : runs;
  const word = action.do === "mark" ? strings.states[action.state] : "";
  const already = runs.length - affected.length;
  const title = {
    clear: strings.runs.clearTitle(runs.length),
    mark: strings.runs.markTitle(affected.length, word),
    delete: strings.runs.removeTitle(runs.length),
  }[action.do];
  const text = { clear: strings.runs.clearText, mark: strings.runs.markText, delete: strings.runs.removeText }[
    action.do
  ];
  const verb = isClear ? strings.runs.clearNow(perRun.size, tasks) : title;
  const nothing = isClear ? preview.isSuccess && tasks === 0 : affected.length === 0;
  const submit = () =>
    bulk.mutate(
      { runs: affected, action },
      {
        onSuccess: () => {
          const n = affected.length;
          toast({
            text: {
              clear: strings.runs.done.clear(perRun.size || n),
              mark: strings.runs.done.mark(n, word),
              delete: strings.runs.done.delete(n),
            }[action.do],
          });
          onDone();
        },
      },
    );
  return (
    <Sheet
      opened
      onClose={onClose}
      title={title}
      footer={
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <Button
            color={action.do === "delete" ? "red" : undefined}
            disabled={nothing}
            loading={bulk.isPending || (isClear && preview.isLoading)}
            onClick={submit}
          >
            {verb}
          </Button>
        </Group>
      }
    >
      <Text size="sm">{text}</Text>
      {isClear && (
        <SegmentedControl
          mt="sm"
          size="xs"
          aria-label={strings.runs.which}
          value={onlyFailed ? "failed" : "all"}
          data={[
            { value: "all", label: strings.runs.everyTask },
            { value: "failed", label: strings.runs.onlyFailed },
          ]}
          onChange={(value) => onAction({ do: "clear", onlyFailed: value === "failed" })}
        />
      )}
      <ul className={classes.affected} aria-label={strings.runs.preview}>
        {affected.slice(0, LISTED).map((run) => (
          <li key={runKey(run)}>
            <StateChip state={run.state} />
            <span className={classes.affectedName}>
              {names && <strong>{run.dag_id}</strong>} <LongId id={run.dag_run_id} />
            </span>
            {isClear && preview.isSuccess && (
              <span className={classes.affectedCount}>{strings.runs.ofRun(perRun.get(runKey(run)) ?? 0)}</span>
            )}
          </li>
        ))}
      </ul>
      {affected.length > LISTED && <Text size="sm">{strings.runs.more20(affected.length - LISTED)}</Text>}
      {already > 0 && (
        <Text size="sm" c="dimmed">
          {strings.runs.already(already, word)}
        </Text>
      )}
      {isClear && nothing && <Text size="sm">{strings.runs.clearNothing}</Text>}
      {preview.isError && <Notice error>{messageOf(preview.error)}</Notice>}
      {bulk.isError && <Notice error>{messageOf(bulk.error)}</Notice>}
    </Sheet>
  );
}
