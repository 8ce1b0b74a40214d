import { useState, type ReactNode } from "react";

import type { DagListFilter, ListedDag } from "../../api/queries/dagList";
import { reasonText } from "../../lib/reasons";
import { strings } from "../../lib/strings";
import { RunBars } from "../../parts/RunBars";
import { ScheduleWords } from "../../parts/ScheduleWords";
import { paths } from "../../paths";
import { copyText } from "../../ui/CopyButton";
import { Icon } from "../../ui/icons";
import { MoreMenu, type MoreItem } from "../../ui/MoreMenu";
import { StateMark } from "../../ui/StateMark";
import { Duration, Time } from "../../ui/Time";
import { Toggle } from "../../ui/Toggle";
import type { Column } from "../../ui/VirtualTable";
import type { Acts } from "./acts";
import classes from "./dags.module.css";

type Change = (part: Partial<DagListFilter>) => void;

/*
 * Some thirty rows are drawn while one scrolls, so they are of plain elements and know nothing of routes, queries and mutations: what
 * can be done is given to them. Links are plain, the table has them go to pages.
 */

export function tableColumns(onFilter: Change, acts: Acts): Column<ListedDag>[] {
  const words = strings.dags;
  return [
    {
      key: "star",
      head: <span className="sr-only">{words.favorites}</span>,
      width: "22px",
      from: 900,
      cell: (dag) => <Star key={dag.dag_id} dag={dag} acts={acts} />,
    },
    {
      key: "active",
      head: <span className="sr-only">{words.active}</span>,
      width: "40px",
      cell: (dag) => <Active key={dag.dag_id} dag={dag} acts={acts} />,
    },
    {
      key: "name",
      head: words.name,
      width: "minmax(180px, 2.7fr)",
      sortKey: "name",
      cell: (dag) => <Name dag={dag} onFilter={onFilter} />,
    },
    {
      key: "schedule",
      head: words.schedule,
      width: "minmax(118px, 1.6fr)",
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
    { key: "why", head: words.why, width: "minmax(140px, 2.3fr)", from: 900, cell: (dag) => <Why dag={dag} /> },
    {
      key: "actions",
      head: <span className="sr-only">{words.actions}</span>,
      width: "64px",
      align: "end",
      cell: (dag) => <Actions key={dag.dag_id} dag={dag} acts={acts} />,
    },
  ];
}

/** For a phone: one column, two lines. */
export function cardColumns(acts: Acts): Column<ListedDag>[] {
  return [
    {
      key: "card",
      head: strings.dags.name,
      width: "minmax(0, 1fr)",
      cell: (dag) => (
        <div className={classes.card}>
          <Active key={dag.dag_id} dag={dag} acts={acts} />
          <a href={paths.dag(dag.dag_id)} className={classes.name}>
            {dag.dag_display_name}
          </a>
          <Actions key={dag.dag_id} dag={dag} acts={acts} />
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

interface Of {
  dag: ListedDag;
  acts: Acts;
}

/** What is so, or is wished while the server is being told; and the wishing. */
function useWish(is: boolean, tell: (wanted: boolean) => Promise<void>) {
  const [wish, setWish] = useState<boolean | null>(null);
  const change = (wanted: boolean) => {
    setWish(wanted);
    // Another wish may have come since.
    void tell(wanted).then(() => setWish((last) => (last === wanted ? null : last)));
  };
  return [wish ?? is, change] as const;
}

function Star({ dag, acts }: Of) {
  const [favorite, setFavorite] = useWish(dag.is_favorite, (wanted) => acts.setFavorite(dag.dag_id, wanted));
  const words = strings.dags;
  return (
    <button
      type="button"
      className={classes.star}
      aria-pressed={favorite}
      aria-label={words.favoriteOf(dag.dag_id)}
      title={words.favoriteOf(dag.dag_id)}
      onClick={() => setFavorite(!favorite)}
    >
      <Icon name="star" filled={favorite} />
    </button>
  );
}

/** On: active. Off: paused, and its runs wait. Shows the wish while the server is being told. */
function Active({ dag, acts }: Of) {
  const [active, setActive] = useWish(!dag.is_paused, (wanted) => acts.setPaused(dag.dag_id, !wanted));
  return (
    <Toggle
      label={strings.dags.activeSwitch(dag.dag_id)}
      title={acts.cannotWrite ?? (active ? strings.dags.activeHint : strings.dags.pausedHint)}
      checked={active}
      disabled={acts.cannotWrite !== null}
      onChange={setActive}
    />
  );
}

/** So many tags find room beside a name. */
const TAGS = 2;

function Name({ dag, onFilter }: { dag: ListedDag; onFilter: Change }) {
  return (
    <span className={classes.nameCell}>
      <a
        href={paths.dag(dag.dag_id)}
        className={classes.name}
        title={[dag.dag_display_name, dag.description, dag.owners.join(", ")].filter(Boolean).join("\n")}
      >
        {dag.dag_display_name}
      </a>
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
  if (dag.is_paused) return <span className={classes.dimmed}>{strings.dags.paused}</span>;
  return <Time at={dag.next_run_after} short />;
}

function Success({ dag }: { dag: ListedDag }): ReactNode {
  if (dag.success_rate === null) return strings.app.none;
  const percent = `${Math.floor(dag.success_rate * 100)} %`;
  return (
    <a
      href={paths.dag(dag.dag_id, "runs", { state: dag.success_rate < 1 ? "failed" : null })}
      className={classes.number}
    >
      {percent}
    </a>
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
    <a href={to} className={classes.why} title={said} data-kind={why.kind}>
      {mark}
      <span className="sr-only">{strings.dags.whyKinds[why.kind]}: </span>
      <span>{said}</span>
    </a>
  );
}

function Actions({ dag, acts }: Of) {
  const words = strings.dags;
  const id = dag.dag_id;
  return (
    <span className={classes.actions}>
      {acts.cannotTrigger === null ? (
        <a
          href={paths.trigger(id)}
          className={classes.action}
          aria-label={words.triggerOf(id)}
          title={words.triggerOf(id)}
        >
          <Icon name="play" />
        </a>
      ) : (
        <button
          type="button"
          className={classes.action}
          aria-label={words.triggerOf(id)}
          aria-disabled
          data-reason={acts.cannotTrigger}
        >
          <Icon name="play" />
        </button>
      )}
      <MoreMenu label={words.moreOf(id)} items={() => moreOf(dag, acts)} />
    </span>
  );
}

function moreOf(dag: ListedDag, acts: Acts): MoreItem[] {
  const words = strings.dags;
  const id = dag.dag_id;
  const lastFailed = dag.runs.findLast((run) => run.state === "failed");
  return [
    { label: words.trigger, icon: "play", to: paths.trigger(id), reason: acts.cannotTrigger },
    { label: words.openRuns, icon: "runs", to: paths.dag(id, "runs") },
    ...(lastFailed === undefined
      ? []
      : [{ label: words.openLastFailed, icon: "warning" as const, to: paths.run(id, lastFailed.dag_run_id) }]),
    { label: words.openCode, icon: "log", to: paths.dag(id, "code") },
    {
      label: dag.is_favorite ? words.unfavorite : words.favorite,
      icon: "star",
      onClick: () => void acts.setFavorite(id, !dag.is_favorite),
    },
    { label: words.copyId, icon: "copy", onClick: () => void copyText(id) },
    {
      label: words.delete,
      icon: "trash",
      danger: true,
      divided: true,
      reason: acts.cannotWrite,
      onClick: () => acts.askDelete(id),
    },
  ];
}
