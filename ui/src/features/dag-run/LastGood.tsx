import { useQuery } from "@tanstack/react-query";
import { Fragment, type ReactNode } from "react";
import { Link } from "react-router";

import type { DagRun, TaskInstance } from "../../api/client";
import { lastGoodRunQuery, tasksOfRunQuery } from "../../api/queries/task";
import type { Causes as Found } from "../../lib/causes";
import { compare, type Change } from "../../lib/compare";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import { keyOf, taskName } from "../../parts/task/names";
import { paths } from "../../paths";
import { Facts } from "../../ui/Facts";
import { Time } from "../../ui/Time";
import classes from "./run.module.css";

/** Tasks that are compared: those that broke, then those that took longest. */
const COMPARED = 50;
/** Differences of one kind that are named. */
const NAMED = 4;

interface Props {
  run: DagRun;
  tasks: TaskInstance[];
  found: Found<TaskInstance>;
}

/** What is not as it was in the last run before this one that went well. Nothing when this one did, or none ever did. */
export function LastGood({ run, tasks, found }: Props) {
  const isBroken = run.state === "failed" || found.roots.length > 0;
  const broken = new Set(found.roots.map(({ taskId }) => taskId));
  const longest = tasks.filter((task) => !broken.has(task.task_id)).toSorted((a, b) => took(b) - took(a));
  const chosen = [...broken, ...new Set(longest.map((task) => task.task_id))].slice(0, COMPARED);
  const { data: good } = useQuery({ ...lastGoodRunQuery(run), enabled: isBroken });
  const { data: goodTasks } = useQuery({ ...tasksOfRunQuery(good ?? run, chosen), enabled: good != null });
  if (!isBroken || good == null || goodTasks === undefined) return null;

  const words = strings.run.compared;
  const { version, conf, nodes, durations } = compare({ ...run, tasks }, { ...good, tasks: goodTasks }, broken);
  return (
    <section className={classes.compared} aria-label={words.title}>
      <h2>
        {words.title}
        {": "}
        <Link to={paths.run(good.dag_id, good.dag_run_id)}>
          <Time at={good.run_after} />
        </Link>
      </h2>
      <Facts
        facts={{
          [strings.run.version]:
            version === null ? (
              words.same
            ) : (
              <Link to={paths.dag(run.dag_id, "code", codeOf(version))}>
                {words.change(text(version.before), text(version.after))}
              </Link>
            ),
          [strings.run.conf]: conf.length === 0 ? words.same : <List items={conf.map(confChange)} />,
          [words.nodes]:
            broken.size === 0 ? null : nodes.length === 0 ? (
              words.same
            ) : (
              <List
                items={nodes.map(({ task, ...change }) => [taskLink(task), words.change(change.before, change.after)])}
              />
            ),
          [words.durations]:
            durations.length === 0 ? (
              words.same
            ) : (
              <List
                items={durations.map(({ task, before, after }) => [
                  taskLink(task),
                  words.change(duration(before), duration(after)),
                ])}
              />
            ),
        }}
      />
    </section>
  );
}

const took = (task: TaskInstance) => task.duration ?? 0;
const text = (value: unknown) =>
  value === undefined || value === null ? strings.app.none : typeof value === "string" ? value : JSON.stringify(value);
const confChange = ({ key, before, after }: Change<unknown> & { key: string }): [ReactNode, string] => [
  <code key="key">{key}</code>,
  strings.run.compared.change(text(before), text(after)),
];
const codeOf = ({ before, after }: Change<number | null>) => ({
  ...(after === null ? {} : { version: after }),
  ...(before === null ? {} : { compare: before }),
});

function taskLink(task: TaskInstance) {
  return <Link to={paths.task(keyOf(task))}>{taskName(task)}</Link>;
}

function List({ items }: { items: [ReactNode, string][] }) {
  return (
    <>
      {items.slice(0, NAMED).map(([name, change], index) => (
        <Fragment key={index}>
          {index > 0 && <br />}
          {name} <span>{change}</span>
        </Fragment>
      ))}
      {items.length > NAMED && (
        <>
          <br />
          {strings.clear.more(items.length - NAMED)}
        </>
      )}
    </>
  );
}
