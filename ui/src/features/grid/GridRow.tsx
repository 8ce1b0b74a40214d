import { memo, type CSSProperties } from "react";

import type { Grid } from "../../api/queries";
import { countsOf, type Count, type Row } from "../../lib/grid/rows";
import type { Cell, GridRun } from "../../lib/grid/types";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import { RowName } from "../../parts/grid/RowName";
import { paths } from "../../paths";
import classes from "./grid.module.css";

const word = (state: string) => strings.states[stateWord(state)];

function nameOfRun(run: GridRun): string {
  const words = [
    run.dag_run_id,
    word(run.state),
    (strings.runTypes as Record<string, string>)[run.run_type] ?? run.run_type,
  ];
  if (run.duration !== null) words.push(duration(run.duration));
  if (run.failed_tasks > 0) words.push(strings.dag.failedTasks(run.failed_tasks));
  if (run.note) words.push(strings.dag.hasNote);
  return words.join(", ");
}

interface RunHeadProps {
  dagId: string;
  run: GridRun;
  column: number;
  label: string | null;
  /** Of the longest run: 0 … 1. */
  part: number;
  /** Pixels of the longest bar. */
  tall: number;
  /** The DAG's version when it is another one than in the run before. */
  version: number | null;
  isTabStop: boolean;
}

/** A run: its duration as a bar with what started it, and its state. */
export const RunHead = memo(function RunHead(props: RunHeadProps) {
  const { dagId, run, column, label, part, tall, version, isTabStop } = props;
  const state = stateWord(run.state);
  return (
    <div className={classes.run} role="columnheader" aria-colindex={column + 2}>
      {label !== null && (
        <span className={classes.label} aria-hidden="true">
          {label}
        </span>
      )}
      {version !== null && (
        <span className={classes.versionLabel} title={strings.dag.versionFrom(version)}>
          {strings.dag.version(version)}
        </span>
      )}
      <a
        href={paths.run(dagId, run.dag_run_id)}
        className={classes.runLink}
        data-at={`-1,${column}`}
        data-s={state}
        data-flawed={run.state === "success" && run.failed_tasks > 0 ? "" : undefined}
        data-note={run.note ? "" : undefined}
        aria-label={nameOfRun(run)}
        tabIndex={isTabStop ? 0 : -1}
      >
        <i data-type={run.run_type} style={{ height: Math.round(16 + part * (tall - 16)) }} />
      </a>
    </div>
  );
});

interface RowProps {
  dagId: string;
  row: Row;
  at: number;
  top: number;
  runs: GridRun[];
  cells: Grid["cells"];
  states: Grid["states"];
  /** The columns that are drawn: from, and not including to. */
  from: number;
  to: number;
  isFolded: boolean;
  /** The column whose link is in the tab order. */
  tabStop: number | null;
  onToggle: (groupId: string) => void;
}

export const GridRow = memo(function GridRow(props: RowProps) {
  const { dagId, row, at, top, runs, cells, states, from, to, isFolded, tabStop, onToggle } = props;
  const newest = runs.at(-1)?.dag_run_id;
  const shown = runs.slice(from, to);
  return (
    <div className={classes.row} role="row" aria-rowindex={at + 2} style={{ top }} data-kind={row.kind}>
      <RowName
        row={row}
        at={at}
        isOpen={row.kind === "group" && !isFolded}
        href={
          newest === undefined ? null : paths.task({ dagId, runId: newest, taskId: row.id, mapIndex: -1 }, "history")
        }
        isTabStop={tabStop === -1}
        onToggle={onToggle}
      />
      <span className={classes.gap} style={{ "--skip": from } as CSSProperties} />
      {shown.map((run, index) => {
        const column = from + index;
        return (
          <div key={run.dag_run_id} role="gridcell" className={classes.slot} aria-colindex={column + 2}>
            <CellLink
              dagId={dagId}
              row={row}
              run={run}
              cells={cells[run.dag_run_id]}
              states={states}
              at={`${at},${column}`}
              isTabStop={tabStop === column}
            />
          </div>
        );
      })}
    </div>
  );
});

interface CellProps {
  dagId: string;
  row: Row;
  run: GridRun;
  cells: Cell[] | undefined;
  states: Grid["states"];
  at: string;
  isTabStop: boolean;
}

/** One element; its look comes from `data-s`, so that thousands of them cost little. */
function CellLink({ dagId, row, run, cells, states, at, isTabStop }: CellProps) {
  const counts = countsOf(row, cells, states);
  const [worst] = counts;
  if (worst === undefined) return null;
  const isOne = row.kind === "task" && !row.isMapped;
  const said = isOne ? word(worst.state) : counts.map(({ state, n }) => strings.dag.countOf(n, word(state))).join(", ");
  const address = { dagId, runId: run.dag_run_id, taskId: row.id, mapIndex: -1 };
  const href =
    row.kind === "group"
      ? paths.run(dagId, run.dag_run_id, "tasks", { group: row.id })
      : paths.task(address, row.isMapped ? "mapped" : "log");
  // What was skipped beside what went well is nothing to look at.
  const isMixed = counts.length > 1 && !isWell(worst.state);
  return (
    <a
      href={href}
      className={classes.cell}
      data-at={at}
      data-s={stateWord(worst.state)}
      data-mixed={isMixed ? (worst.n > 99 ? "long" : "") : undefined}
      style={isMixed ? { backgroundImage: stack(counts) } : undefined}
      aria-label={`${row.label}, ${run.dag_run_id}: ${said}`}
      tabIndex={isTabStop ? 0 : -1}
    >
      {isMixed ? short(worst.n) : null}
    </a>
  );
}

const isWell = (state: string) => state === "success" || state === "skipped" || state === "removed";
const short = (n: number) => (n > 999 ? "1k+" : String(n));

const FAMILY: Record<string, string> = {
  success: "good",
  skipped: "idle",
  failed: "bad",
  upstream_failed: "bad",
  running: "moving",
  restarting: "moving",
  up_for_retry: "retrying",
  up_for_reschedule: "retrying",
  awaiting_input: "human",
};

/** Parts of a column, worst at the bottom, each at least an eighth, so that 1 of 1,000 is seen. */
function stack(counts: readonly Count[]): string {
  const total = counts.reduce((sum, { n }) => sum + n, 0);
  const parts = counts.map(({ n }) => Math.max(n / total, 0.125));
  const scale = parts.reduce((sum, part) => sum + part, 0);
  let from = 0;
  const stops = counts.map(({ state }, index) => {
    const to = from + ((parts[index] ?? 0) / scale) * 100;
    const colour = `var(--quiet-${FAMILY[state] ?? "idle"})`;
    const stop = `${colour} ${from.toFixed(1)}% ${to.toFixed(1)}%`;
    from = to;
    return stop;
  });
  return `linear-gradient(to top, ${stops.join(", ")})`;
}
