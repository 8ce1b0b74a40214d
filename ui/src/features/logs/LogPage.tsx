import { Code, Group, Switch, Text } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { NavLink, useParams, useSearchParams } from "react-router";

import { taskInstanceQuery, triesQuery, tryFactsQuery, type TaskKey } from "../../api/queries";
import { mapIndexOf } from "../../lib/filters";
import { isFinished, stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Facts } from "../../ui/Facts";
import { Notice } from "../../ui/Notice";
import { PageHead } from "../../ui/Page";
import { StateChip, StateMark } from "../../ui/StateMark";
import { Elapsed } from "../../ui/Time";
import { LogLines } from "./LogLines";
import classes from "./logs.module.css";
import { useLogTail } from "./tail";

export function LogPage() {
  const { dagId = "", runId = "", taskId = "", tryNumber = "1" } = useParams();
  const [search] = useSearchParams();
  const key = { dagId, runId, taskId, mapIndex: mapIndexOf(search) };
  const { data: task } = useSuspenseQuery(taskInstanceQuery(key));
  const shown = Number(tryNumber);
  const name = key.mapIndex < 0 ? task.task_display_name : strings.tasks.mapped(task.task_display_name, key.mapIndex);
  return (
    <>
      <PageHead
        title={strings.logs.title(name)}
        crumbs={[
          { label: strings.dags.title, to: paths.dags() },
          { label: task.dag_display_name, to: paths.dag(dagId) },
          { label: runId, to: paths.run(dagId, runId) },
        ]}
      />
      <Facts
        facts={{
          [strings.runs.state]: <StateChip state={task.state} />,
          [strings.tasks.host]: task.hostname,
          [strings.runs.duration]: task.start_date && <Elapsed {...task} />,
        }}
      />
      <Tries task={key} count={task.try_number} current={task.state} />
      {task.try_number > 0 && <HowItRan task={key} tryNumber={shown} state={task.state} />}
      {task.try_number === 0 ? (
        <Text>{strings.logs.never}</Text>
      ) : (
        <Log key={shown} task={key} tryNumber={shown} live={shown >= task.try_number && !isFinished(task.state)} />
      )}
    </>
  );
}

/** What is known of one try beside its log. Nothing while it is not known: the log matters more. */
function HowItRan({ task, tryNumber, state }: { task: TaskKey; tryNumber: number; state: string | null }) {
  const { data } = useQuery(tryFactsQuery(task, state));
  const facts = data?.tries.find((attempt) => attempt.try_number === tryNumber);
  if (facts === undefined) return null;
  const { failure_class, failure_reason, exit_code, image, image_digest, command, peak_memory } = facts;
  return (
    <>
      {failure_reason !== null && <Text>{failure_reason}</Text>}
      <Facts
        facts={{
          [strings.tasks.failureClass]: failure_class,
          [strings.tasks.exitCode]: exit_code,
          [strings.tasks.image]: image_digest ?? image,
          [strings.tasks.command]: command.length > 0 ? <Code>{command.join(" ")}</Code> : null,
          [strings.tasks.peakMemory]: peak_memory === null ? null : strings.tasks.mib(peak_memory),
        }}
      />
    </>
  );
}

function Tries({ task, count, current }: { task: TaskKey; count: number; current: string | null }) {
  const tries = useQuery({ ...triesQuery(task, count), enabled: count > 1 });
  // Undefined while the server has not said.
  const stateOf = (n: number) =>
    n === count ? current : tries.data?.task_instances.find((attempt) => attempt.try_number === n)?.state;
  return (
    <nav aria-label={strings.logs.tries} className={classes.tries}>
      {Array.from({ length: count }, (_, index) => index + 1).map((n) => {
        const state = stateOf(n);
        return (
          <NavLink
            key={n}
            to={paths.log(task, n)}
            aria-label={state === undefined ? undefined : strings.logs.tryIs(n, strings.states[stateWord(state)])}
          >
            {state !== undefined && <StateMark state={state} size={16} />} {strings.logs.try(n)}
          </NavLink>
        );
      })}
    </nav>
  );
}

function Log({ task, tryNumber, live }: { task: TaskKey; tryNumber: number; live: boolean }) {
  const { lines, ended, error } = useLogTail(task, tryNumber, live);
  const [follow, setFollow] = useState(true);
  return (
    <>
      <Group justify="space-between" mb="xs">
        <Text size="sm" role="status">
          {ended ? strings.logs.ended : live ? strings.logs.following : strings.app.loading}
        </Text>
        {!ended && (
          <Switch
            size="xs"
            label={strings.logs.follow}
            checked={follow}
            onChange={(event) => setFollow(event.currentTarget.checked)}
          />
        )}
      </Group>
      {error !== null && <Notice error>{strings.logs.failed(error)}</Notice>}
      {lines.length === 0 ? (
        error === null && <Text>{ended ? strings.logs.emptyDone : strings.logs.empty}</Text>
      ) : (
        <LogLines lines={lines} follow={follow && !ended} onLeaveEnd={() => setFollow(false)} />
      )}
    </>
  );
}
