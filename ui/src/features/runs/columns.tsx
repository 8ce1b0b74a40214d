import { Anchor, Text, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import type { DagRun } from "../../api/client";
import { lastErrorQuery, runKey, type FailedTask } from "../../api/queries";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import { LongId } from "../../ui/LongId";
import { StateChip, StateMark } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import type { Column } from "../../ui/VirtualTable";
import classes from "./runs.module.css";

export function columnsOf(all: boolean, failures: Record<string, FailedTask[]>): Column<DagRun>[] {
  return [
    {
      key: "state",
      head: strings.runs.state,
      width: "100px",
      sortKey: "state",
      cell: (run) => <StateChip state={run.state} />,
    },
    ...(all ? [dag] : []),
    {
      key: "run",
      head: strings.runs.run,
      width: "minmax(130px, 1.3fr)",
      sortKey: "dag_run_id",
      cell: (run) => (
        <Anchor component={Link} to={paths.run(run.dag_id, run.dag_run_id)} className={classes.fit}>
          <LongId id={run.dag_run_id} />
        </Anchor>
      ),
    },
    {
      key: "after",
      head: strings.runs.runAfter,
      width: "204px",
      sortKey: "run_after",
      cell: (run) => <Time at={run.run_after} />,
    },
    {
      key: "duration",
      head: strings.runs.duration,
      width: "80px",
      align: "end",
      sortKey: "duration",
      cell: (run) => <Elapsed {...run} />,
    },
    {
      key: "error",
      head: strings.runs.error,
      width: "minmax(220px, 2.2fr)",
      cell: (run) => <Failed run={run} failed={failures[runKey(run)] ?? []} />,
    },
    { key: "type", head: strings.runs.type, width: "112px", sortKey: "run_type", cell: (run) => <Type run={run} /> },
    {
      key: "note",
      head: strings.runs.note,
      width: "minmax(48px, 0.5fr)",
      from: 900,
      cell: (run) => <Long text={run.note} />,
    },
    {
      key: "conf",
      head: strings.runs.conf,
      width: "minmax(92px, 0.9fr)",
      from: 1200,
      cell: (run) =>
        run.conf === null || Object.keys(run.conf).length === 0 ? null : <Long text={JSON.stringify(run.conf)} code />,
    },
  ];
}

/** On a phone: the mark, and beside it two lines. */
export function narrowColumnsOf(all: boolean, failures: Record<string, FailedTask[]>): Column<DagRun>[] {
  return [
    {
      key: "state",
      head: <span className="sr-only">{strings.runs.state}</span>,
      name: strings.runs.state,
      width: "20px",
      cell: (run) => (
        <>
          <StateMark state={run.state} />
          <span className="sr-only">{strings.states[run.state]}</span>
        </>
      ),
    },
    {
      key: "run",
      head: strings.runs.run,
      // What is left beside check box and mark.
      width: "calc(100vw - 148px)",
      cell: (run) => {
        const [first] = failures[runKey(run)] ?? [];
        return (
          <Link to={paths.run(run.dag_id, run.dag_run_id)} className={classes.narrow}>
            {all ? <strong>{run.dag_display_name}</strong> : <LongId id={run.dag_run_id} />}
            <small>
              {first !== undefined && `${first.taskId} · `}
              <Elapsed {...run} />
              {" · "}
              <Time at={run.run_after} short />
            </small>
          </Link>
        );
      },
    },
  ];
}

function Type({ run }: { run: DagRun }) {
  const word = strings.runTypes[run.run_type];
  const who = run.triggering_user_name;
  return (
    <span className={classes.type} title={who === null ? word : `${word} · ${who}`}>
      <i data-type={run.run_type} aria-hidden="true" />
      <span>{word}</span>
    </span>
  );
}

const dag: Column<DagRun> = {
  key: "dag",
  get head() {
    return strings.runs.dag;
  },
  width: "minmax(110px, 1.1fr)",
  sortKey: "dag_id",
  cell: (run) => (
    <Anchor component={Link} to={paths.dag(run.dag_id)} title={run.dag_id} className={classes.fit}>
      {run.dag_display_name}
    </Anchor>
  ),
};

function Long({ text, code = false }: { text: string | null; code?: boolean }) {
  if (text === null || text === "") return null;
  return (
    <Tooltip label={text} multiline maw={420} openDelay={300} events={{ hover: true, focus: true, touch: true }}>
      <span className={`${classes.fit} ${code ? classes.code : ""}`}>{text}</span>
    </Tooltip>
  );
}

/** The first task that failed of itself, what it said last, and how many more there are. */
function Failed({ run, failed }: { run: DagRun; failed: FailedTask[] }) {
  const [first] = failed;
  if (first === undefined) return null;
  const { taskId, mapIndex, tryNumber } = first;
  const address = { dagId: run.dag_id, runId: run.dag_run_id, taskId, mapIndex };
  return (
    <span className={classes.failed}>
      <Anchor
        component={Link}
        to={paths.log(address, tryNumber)}
        c="inherit"
        aria-label={strings.runs.failedTask(taskId)}
        className={classes.failedTask}
      >
        <Icon name="close" size={12} /> {taskId}
      </Anchor>
      {failed.length > 1 && (
        <Anchor component={Link} to={paths.run(run.dag_id, run.dag_run_id)} c="dimmed">
          {strings.runs.andMore(failed.length - 1)}
        </Anchor>
      )}
      <LastWords address={address} tryNumber={tryNumber} />
    </span>
  );
}

function LastWords({ address, tryNumber }: { address: Parameters<typeof lastErrorQuery>[0]; tryNumber: number }) {
  const { data } = useQuery({ ...lastErrorQuery(address, tryNumber), retry: false });
  if (data == null) return null;
  return (
    <Text span size="xs" c="dimmed" className={classes.words} title={data.sentence}>
      {data.sentence}
    </Text>
  );
}
