import { Button, Menu } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useNavigate } from "react-router";

import type { DagRun, TaskInstance } from "../../api/client";
import { runsQuery } from "../../api/queries";
import { useChangeRun, useDeleteRun } from "../../api/mutations/tasks";
import { median } from "../../lib/median";
import { isFinished } from "../../lib/states";
import { strings } from "../../lib/strings";
import { clock, elapsed } from "../../lib/time";
import { CanButton, useCan } from "../../parts/Can";
import { Confirm } from "../../parts/task/Confirm";
import { NoteSheet } from "../../parts/task/NoteSheet";
import { paths } from "../../paths";
import { copyText } from "../../ui/CopyButton";
import { Facts } from "../../ui/Facts";
import { Icon } from "../../ui/icons";
import { NeighbourButtons } from "../../ui/NeighbourButtons";
import { LongId } from "../../ui/LongId";
import { MoreMenu } from "../../ui/MoreMenu";
import { useNow } from "../../ui/now";
import { PageHead } from "../../ui/Page";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import classes from "./run.module.css";
import { comparison, sentenceOf } from "./sentence";

type Asked = "cancel" | "success" | "failed" | "delete" | "note" | null;

interface Props {
  run: DagRun;
  tasks: TaskInstance[];
  /** Tasks that failed or did not run because of that. */
  failed: number;
  onRetry: () => void;
  onClear: () => void;
  /** What matters more than the facts. */
  children: ReactNode;
}

/** Which run it is, how it stands in a sentence, and what can be done with it. */
export function RunHeader({ run, tasks, failed, onRetry, onClear, children }: Props) {
  const words = strings.run;
  const [asked, setAsked] = useState<Asked>(null);
  const cannot = useCan("Write:DagRun");
  const when = useNow((now) => clock(run.logical_date ?? run.run_after, now));
  const isOver = isFinished(run.state);
  const word = (state: "success" | "failed") => (run.state === state ? words.alreadyIs(strings.states[state]) : null);
  return (
    <>
      <PageHead
        title={words.title(run.dag_display_name, when)}
        crumbs={[
          { label: strings.dags.title, to: paths.dags() },
          { label: run.dag_display_name, to: paths.dag(run.dag_id) },
          { label: strings.runs.title, to: paths.dag(run.dag_id, "runs") },
        ]}
      >
        <Neighbours run={run} />
        <CanButton
          needs="Write:TaskInstance"
          size="compact-sm"
          variant={failed > 0 ? "filled" : "default"}
          reason={failed === 0 ? words.nothingFailed : null}
          leftSection={<Icon name="again" size={14} />}
          onClick={onRetry}
        >
          {failed === 0 ? words.retryNone : words.retryFailed(failed)}
        </CanButton>
        <CanButton needs="Write:TaskInstance" size="compact-sm" variant="default" onClick={onClear}>
          {words.clear}
        </CanButton>
        {!isOver && (
          <CanButton needs="Write:DagRun" size="compact-sm" variant="default" onClick={() => setAsked("cancel")}>
            {words.cancel}
          </CanButton>
        )}
        <Menu position="bottom-end" transitionProps={{ duration: 0 }}>
          <Menu.Target>
            <Button size="compact-sm" variant="default" rightSection={<Icon name="down" size={12} />}>
              {words.mark}
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            <MarkItem
              label={words.markSuccess}
              reason={cannot ?? word("success")}
              onClick={() => setAsked("success")}
            />
            <MarkItem label={words.markFailed} reason={cannot ?? word("failed")} onClick={() => setAsked("failed")} />
          </Menu.Dropdown>
        </Menu>
        <MoreMenu
          label={words.more}
          items={[
            { label: words.rerun, icon: "play", to: paths.trigger(run.dag_id, run.dag_run_id), reason: cannot },
            {
              label: run.note === null ? words.addNote : words.editNote,
              icon: "edit",
              reason: cannot,
              onClick: () => setAsked("note"),
            },
            { label: words.openGraph, icon: "dags", to: paths.dag(run.dag_id, "graph", { run: run.dag_run_id }) },
            { label: words.openGrid, icon: "menu", to: paths.dag(run.dag_id, "grid", { run: run.dag_run_id }) },
            { label: words.copyId, icon: "copy", onClick: () => void copyText(run.dag_run_id) },
            {
              label: words.delete,
              icon: "trash",
              danger: true,
              divided: true,
              reason: cannot ?? (run.state === "running" ? words.isRunning : null),
              onClick: () => setAsked("delete"),
            },
          ]}
        />
      </PageHead>
      <Sentence run={run} tasks={tasks} />
      {children}
      <Facts
        facts={{
          [words.type]: strings.runTypes[run.run_type] ?? run.run_type,
          [words.when]: <Time at={run.run_after} />,
          [words.started]: run.start_date === null ? null : <Time at={run.start_date} />,
          [words.ended]: run.end_date === null ? null : <Time at={run.end_date} />,
          [words.triggeredBy]: run.triggering_user_name,
          [words.version]: run.dag_versions.at(-1)?.version_number ?? null,
          [strings.runs.run]: <LongId id={run.dag_run_id} />,
        }}
      />
      {run.note !== null && (
        <button type="button" className={classes.note} onClick={() => setAsked("note")} aria-label={words.editNote}>
          {run.note}
        </button>
      )}
      <Asking run={run} tasks={tasks} asked={asked} onClose={() => setAsked(null)} />
    </>
  );
}

function MarkItem({ label, reason, onClick }: { label: string; reason: string | null; onClick: () => void }) {
  return (
    <Menu.Item
      aria-disabled={reason === null ? undefined : true}
      closeMenuOnClick={reason === null}
      onClick={reason === null ? onClick : undefined}
    >
      {label}
      {reason !== null && <div className={classes.muted}>{reason}</div>}
    </Menu.Item>
  );
}

function Sentence({ run, tasks }: { run: DagRun; tasks: TaskInstance[] }) {
  const { data } = useQuery(runsQuery({ dagId: run.dag_id, state: "success", page: 1 }));
  const usual = median((data?.dag_runs ?? []).flatMap((one) => (one.duration === null ? [] : [one.duration])));
  const text = useNow((now) => sentenceOf(run, tasks, now));
  const beside = useNow((now) => comparison(elapsed(run, now), usual));
  return (
    <p className={classes.sentence}>
      <StateMark state={run.state} size={20} />
      <strong>{text}</strong>
      {beside !== null && <span className={classes.muted}>({beside})</span>}
    </p>
  );
}

/** The runs of the DAG before and after. */
function Neighbours({ run }: { run: DagRun }) {
  const { data } = useQuery(runsQuery({ dagId: run.dag_id, state: null, page: 1 }));
  const runs = data?.dag_runs ?? [];
  const at = runs.findIndex((one) => one.dag_run_id === run.dag_run_id);
  if (at < 0) return null;
  const to = (other: DagRun | undefined, label: string) =>
    other && { to: paths.run(other.dag_id, other.dag_run_id), label };
  return (
    <NeighbourButtons previous={to(runs[at + 1], strings.run.previous)} next={to(runs[at - 1], strings.run.next)} />
  );
}

interface AskingProps {
  run: DagRun;
  tasks: TaskInstance[];
  asked: Asked;
  onClose: () => void;
}

/** The question before what is asked is done. */
function Asking({ run, tasks, asked, onClose }: AskingProps) {
  const words = strings.run;
  const navigate = useNavigate();
  const change = useChangeRun(run.dag_id, run.dag_run_id);
  const remove = useDeleteRun(run.dag_id, run.dag_run_id);
  const open = tasks.filter((task) => !isFinished(task.state)).length;
  const close = () => {
    change.reset();
    onClose();
  };
  const shared = { needs: "Write:DagRun" as const, isPending: change.isPending, error: change.error, onClose: close };
  switch (asked) {
    case null:
      return null;
    case "note":
      return <NoteSheet {...shared} note={run.note} onSave={(note) => change.mutate({ note }, { onSuccess: close })} />;
    case "cancel":
      return (
        <Confirm
          {...shared}
          danger
          title={words.cancelTitle}
          text={words.cancelText(open)}
          submit={words.cancelSubmit}
          onSubmit={() => change.mutate({ state: "failed" }, { onSuccess: close })}
        />
      );
    case "success":
    case "failed": {
      const word = strings.states[asked];
      return (
        <Confirm
          {...shared}
          title={words.markTitle(word)}
          text={words.markText(open)}
          submit={words.markSubmit(word)}
          onSubmit={() => change.mutate({ state: asked }, { onSuccess: close })}
        />
      );
    }
    case "delete":
      return (
        <Confirm
          {...shared}
          danger
          isPending={remove.isPending}
          error={remove.error}
          title={words.deleteTitle}
          text={words.deleteText(tasks.length)}
          submit={words.deleteSubmit}
          onSubmit={() => {
            remove.mutate(undefined, { onSuccess: () => void navigate(paths.dag(run.dag_id), { replace: true }) });
          }}
        />
      );
  }
}
