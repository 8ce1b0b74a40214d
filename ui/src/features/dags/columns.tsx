import { Switch, Text, Tooltip } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { Link } from "react-router";

import { messageOf } from "../../api/errors";
import { useDeleteDag, useSetFavorite, useSetPausedOf } from "../../api/mutations/dags";
import type { DagListFilter, ListedDag } from "../../api/queries/dagList";
import { reasonText } from "../../lib/reasons";
import { strings } from "../../lib/strings";
import { useCan } from "../../parts/Can";
import { RunBars } from "../../parts/RunBars";
import { ScheduleWords } from "../../parts/ScheduleWords";
import { paths } from "../../paths";
import { Confirm } from "../../ui/Confirm";
import { copyText } from "../../ui/CopyButton";
import { Icon } from "../../ui/icons";
import { MoreMenu } from "../../ui/MoreMenu";
import { StateMark } from "../../ui/StateMark";
import { Duration, Time } from "../../ui/Time";
import { toast } from "../../ui/toasts";
import type { Column } from "../../ui/VirtualTable";
import classes from "./dags.module.css";

type Change = (part: Partial<DagListFilter>) => void;

const sayError = (error: Error) => toast({ text: messageOf(error), error: true });

export function tableColumns(onFilter: Change): Column<ListedDag>[] {
  const words = strings.dags;
  return [
    {
      key: "star",
      head: <span className="sr-only">{words.favorites}</span>,
      width: "22px",
      from: 900,
      cell: (dag) => <Star dag={dag} />,
    },
    {
      key: "active",
      head: <span className="sr-only">{words.active}</span>,
      width: "38px",
      cell: (dag) => <Active dag={dag} />,
    },
    {
      key: "name",
      head: words.name,
      width: "minmax(180px, 2.4fr)",
      sortKey: "name",
      cell: (dag) => <Name dag={dag} onFilter={onFilter} />,
    },
    {
      key: "schedule",
      head: words.schedule,
      width: "minmax(150px, 1.4fr)",
      from: 900,
      cell: (dag) => <ScheduleWords {...dag} />,
    },
    {
      key: "next",
      head: words.nextRun,
      width: "104px",
      sortKey: "next_run",
      from: 900,
      cell: (dag) => <Next dag={dag} />,
    },
    {
      key: "runs",
      head: words.lastRuns,
      width: "142px",
      sortKey: "last_run",
      cell: (dag) => <RunBars dagId={dag.dag_id} runs={dag.runs} />,
    },
    {
      key: "success",
      head: words.success,
      width: "66px",
      align: "end",
      from: 1200,
      cell: (dag) => <Success dag={dag} />,
    },
    {
      key: "p50",
      head: words.median,
      width: "76px",
      align: "end",
      from: 1200,
      cell: (dag) => <Duration seconds={dag.median_duration} />,
    },
    { key: "why", head: words.why, width: "minmax(140px, 2.6fr)", from: 900, cell: (dag) => <Why dag={dag} /> },
    {
      key: "actions",
      head: <span className="sr-only">{words.actions}</span>,
      width: "64px",
      align: "end",
      cell: (dag) => <Actions dag={dag} />,
    },
  ];
}

/** For a phone: one column, two lines. */
export function cardColumns(_onFilter: Change): Column<ListedDag>[] {
  return [
    {
      key: "card",
      head: strings.dags.name,
      width: "minmax(0, 1fr)",
      cell: (dag) => (
        <div className={classes.card}>
          <Active dag={dag} />
          <Link to={paths.dag(dag.dag_id)} className={classes.name}>
            {dag.dag_display_name}
          </Link>
          <Actions dag={dag} />
          <div className={classes.second}>
            <RunBars dagId={dag.dag_id} runs={dag.runs} shown={8} />
            {dag.why === null ? (
              <span className={classes.quiet}>
                <Next dag={dag} />
              </span>
            ) : (
              <Why dag={dag} />
            )}
          </div>
        </div>
      ),
    },
  ];
}

function Star({ dag }: { dag: ListedDag }) {
  const set = useSetFavorite(dag.dag_id);
  const favorite = set.isPending ? set.variables : dag.is_favorite;
  const words = strings.dags;
  return (
    <button
      type="button"
      className={classes.star}
      aria-pressed={favorite}
      aria-label={words.favoriteOf(dag.dag_id)}
      title={words.favoriteOf(dag.dag_id)}
      onClick={() => set.mutate(!favorite, { onError: sayError })}
    >
      <Icon name="star" filled={favorite} />
    </button>
  );
}

/** On: active. Off: paused, and its runs wait. Shows the wish while the server is being told. */
function Active({ dag }: { dag: ListedDag }) {
  const set = useSetPausedOf();
  const cannot = useCan("Write:Dag");
  const paused = set.isPending ? set.variables.paused : dag.is_paused;
  return (
    <span title={cannot ?? (paused ? strings.dags.pausedHint : strings.dags.activeHint)}>
      <Switch
        size="xs"
        color="gray"
        aria-label={strings.dags.activeSwitch(dag.dag_id)}
        checked={!paused}
        disabled={cannot !== null}
        onChange={({ currentTarget: { checked } }) =>
          set.mutate({ dagId: dag.dag_id, paused: !checked }, { onError: sayError })
        }
      />
    </span>
  );
}

/** So many tags find room beside a name. */
const TAGS = 2;

function Name({ dag, onFilter }: { dag: ListedDag; onFilter: Change }) {
  return (
    <span className={classes.nameCell}>
      <Link
        to={paths.dag(dag.dag_id)}
        className={classes.name}
        title={[dag.dag_display_name, dag.description, dag.owners.join(", ")].filter(Boolean).join("\n")}
      >
        {dag.dag_display_name}
      </Link>
      {dag.tags.slice(0, TAGS).map((tag) => (
        <button
          key={tag}
          type="button"
          className={classes.tag}
          title={strings.dags.onlyTag(tag)}
          aria-label={strings.dags.onlyTag(tag)}
          onClick={() => onFilter({ tags: [tag] })}
        >
          {tag}
        </button>
      ))}
      {dag.tags.length > TAGS && (
        <span className={classes.quiet} title={dag.tags.join(", ")}>
          +{dag.tags.length - TAGS}
        </span>
      )}
    </span>
  );
}

function Next({ dag }: { dag: ListedDag }) {
  if (dag.is_paused) return <Text c="dimmed">{strings.dags.paused}</Text>;
  return <Time at={dag.next_run_after} short />;
}

function Success({ dag }: { dag: ListedDag }): ReactNode {
  if (dag.success_rate === null) return strings.app.none;
  const percent = `${Math.floor(dag.success_rate * 100)} %`;
  return (
    <Link
      to={paths.dag(dag.dag_id, "runs", { state: dag.success_rate < 1 ? "failed" : null })}
      className={classes.number}
    >
      {percent}
    </Link>
  );
}

function Why({ dag }: { dag: ListedDag }) {
  const { why } = dag;
  if (why === null) return null;
  const run = why.dag_run_id;
  const to =
    why.kind === "import_error" || run === null
      ? paths.importErrors()
      : why.task_id === null
        ? paths.run(dag.dag_id, run)
        : paths.task({ dagId: dag.dag_id, runId: run, taskId: why.task_id, mapIndex: -1 });
  const sentence = why.reason == null ? why.text : reasonText(why.reason);
  const said = [why.task_id, sentence].filter(Boolean).join(": ") || strings.dags.whyKinds[why.kind];
  const mark =
    why.kind === "import_error" ? (
      <Icon name="warning" size={14} />
    ) : (
      <StateMark state={why.kind === "failure" ? "failed" : "scheduled"} size={14} />
    );
  return (
    <Link to={to} className={classes.why} title={said} data-kind={why.kind}>
      {mark}
      <span className="sr-only">{strings.dags.whyKinds[why.kind]}: </span>
      <span>{said}</span>
    </Link>
  );
}

function Actions({ dag }: { dag: ListedDag }) {
  const [asks, setAsks] = useState(false);
  const remove = useDeleteDag(dag.dag_id);
  const setFavorite = useSetFavorite(dag.dag_id);
  const cannotTrigger = useCan("Write:DagRun");
  const cannotDelete = useCan("Write:Dag");
  const words = strings.dags;
  const id = dag.dag_id;
  const lastFailed = dag.runs.findLast((run) => run.state === "failed");
  return (
    <span className={classes.actions}>
      {cannotTrigger === null ? (
        <Link
          to={paths.trigger(id)}
          className={classes.action}
          aria-label={words.triggerOf(id)}
          title={words.triggerOf(id)}
        >
          <Icon name="play" />
        </Link>
      ) : (
        <Tooltip label={cannotTrigger} events={{ hover: true, focus: true, touch: true }}>
          <button type="button" className={classes.action} aria-label={words.triggerOf(id)} aria-disabled>
            <Icon name="play" />
          </button>
        </Tooltip>
      )}
      <MoreMenu
        label={words.moreOf(id)}
        items={[
          { label: words.trigger, icon: "play", to: paths.trigger(id), reason: cannotTrigger },
          { label: words.openRuns, icon: "runs", to: paths.dag(id, "runs") },
          ...(lastFailed === undefined
            ? []
            : [{ label: words.openLastFailed, icon: "warning" as const, to: paths.run(id, lastFailed.dag_run_id) }]),
          { label: words.openCode, icon: "log", to: paths.dag(id, "code") },
          {
            label: dag.is_favorite ? words.unfavorite : words.favorite,
            icon: "star",
            onClick: () => setFavorite.mutate(!dag.is_favorite, { onError: sayError }),
          },
          { label: words.copyId, icon: "copy", onClick: () => void copyText(id) },
          {
            label: words.delete,
            icon: "trash",
            danger: true,
            divided: true,
            reason: cannotDelete,
            onClick: () => setAsks(true),
          },
        ]}
      />
      {asks && (
        <Confirm
          opened
          onClose={() => setAsks(false)}
          title={words.deleteTitle(id)}
          verb={words.deleteVerb(id)}
          busy={remove.isPending}
          error={remove.error === null ? null : messageOf(remove.error)}
          onConfirm={() =>
            remove.mutate(undefined, {
              onSuccess: () => {
                setAsks(false);
                toast({ text: words.deleted(id) });
              },
            })
          }
        >
          <Text>{words.deleteHint}</Text>
        </Confirm>
      )}
    </span>
  );
}
