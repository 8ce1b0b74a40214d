import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { lastErrorQuery, tryFactsQuery, whyQuery, type Grid } from "../../api/queries";
import { countsOf, type Row } from "../../lib/grid/rows";
import type { GridRun } from "../../lib/grid/types";
import { secondsOf, usualRunSeconds, usualSeconds } from "../../lib/grid/usual";
import { reasonText } from "../../lib/reasons";
import { isFinished, isWaiting, stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { duration, elapsed } from "../../lib/time";
import { useNow } from "../../ui/now";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import { TipCard } from "./TipCard";
import classes from "./tip.module.css";

export interface TipTarget {
  /** Null: the run itself. */
  row: Row | null;
  run: GridRun;
  /** Where the thing is that it is about. */
  box: DOMRect;
}

/** What a cell is, in words: state, why, how long against usual. Beside the cell, never over it. */
export function Tip({ dagId, target, grid }: { dagId: string; target: TipTarget; grid: Grid }) {
  const { box, row, run } = target;
  return (
    <TipCard box={box}>
      {row === null ? <OfRun run={run} grid={grid} /> : <OfCell dagId={dagId} row={row} run={run} grid={grid} />}
    </TipCard>
  );
}

function OfRun({ run, grid }: { run: GridRun; grid: Grid }) {
  const seconds = useNow((now) => elapsed(run, now));
  return (
    <>
      <strong className={classes.id}>{run.dag_run_id}</strong>
      <State state={run.state} />
      {run.failed_tasks > 0 && <div>{strings.dag.failedTasks(run.failed_tasks)}</div>}
      <div className={classes.muted}>
        {(strings.runTypes as Record<string, string>)[run.run_type] ?? run.run_type}
        {" · "}
        <Time at={run.run_after} />
      </div>
      <Took seconds={seconds} usual={usualRunSeconds(grid, run.dag_run_id)} />
      {run.dag_version_number !== null && (
        <div className={classes.muted}>{strings.dag.version(run.dag_version_number)}</div>
      )}
      {run.note && <div className={classes.muted}>{strings.dag.hasNote}</div>}
    </>
  );
}

function OfCell({ dagId, row, run, grid }: { dagId: string; row: Row; run: GridRun; grid: Grid }) {
  const cells = grid.cells[run.dag_run_id];
  const cell = cells?.[row.task];
  const one = Array.isArray(cell) ? cell : null;
  const state = one === null ? null : (grid.states[one[0]] ?? null);
  const seconds = useNow((now) => secondsOf(cell, now));
  return (
    <>
      <strong className={classes.id}>{row.id}</strong>
      {one === null ? (
        countsOf(row, cells, grid.states).map((count) => (
          <div key={count.state} className={classes.state}>
            <StateMark state={count.state} size={14} />
            {strings.dag.countOf(count.n, strings.states[stateWord(count.state)])}
          </div>
        ))
      ) : (
        <>
          <State state={state}>{one[1] > 1 && strings.dag.tryNumber(one[1])}</State>
          <Sentence dagId={dagId} runId={run.dag_run_id} taskId={row.id} state={state} tryNumber={one[1]} />
          <Took seconds={seconds} usual={usualSeconds(row, grid, run.dag_run_id)} />
        </>
      )}
      <div className={classes.muted}>
        <Time at={run.run_after} />
      </div>
    </>
  );
}

function State({ state, children }: { state: string | null; children?: ReactNode }) {
  return (
    <div className={classes.state}>
      <StateMark state={state} size={14} />
      {strings.states[stateWord(state)]}
      {children !== undefined && <span className={classes.muted}>{children}</span>}
    </div>
  );
}

function Took({ seconds, usual }: { seconds: number | null; usual: number | null }) {
  if (seconds === null) return null;
  const isSlow = usual !== null && usual > 0 && seconds > 1 && seconds >= usual * 1.5;
  return (
    <div className={isSlow ? classes.slow : undefined}>
      {duration(seconds)}
      {usual !== null && (
        <span className={classes.muted}>
          {" · "}
          {isSlow ? strings.dag.timesUsual(seconds / usual, duration(usual)) : strings.dag.usual(duration(usual))}
        </span>
      )}
    </div>
  );
}

interface SentenceProps {
  dagId: string;
  runId: string;
  taskId: string;
  state: string | null;
  tryNumber: number;
}

/** Why it waits, or why it failed. Asked for only when somebody looks. */
function Sentence({ dagId, runId, taskId, state, tryNumber }: SentenceProps) {
  const task = { dagId, runId, taskId, mapIndex: -1 };
  const waits = isWaiting(state) && !isFinished(state);
  const failed = state === "failed" || state === "up_for_retry";
  const why = useQuery({ ...whyQuery(task, state), enabled: waits, refetchInterval: false });
  const tries = useQuery({ ...tryFactsQuery(task, state), enabled: failed, refetchInterval: false });
  const said = useQuery({ ...lastErrorQuery(task, tryNumber), enabled: failed, retry: false });
  const facts = tries.data?.tries.findLast((each) => each.try_number === tryNumber) ?? tries.data?.tries.at(-1);
  const lines = waits
    ? (why.data?.reasons ?? []).map(reasonText)
    : failed
      ? [said.data?.sentence, facts?.failure_reason].filter((line) => line != null).slice(0, 1)
      : [];
  return lines.slice(0, 3).map((line) => (
    <div key={line} className={classes.sentence}>
      {line}
    </div>
  ));
}
