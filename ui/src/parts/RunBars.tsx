/**
 * The last runs of a DAG as bars that lead to them, the newest at the right: the height is the duration, the hue and a mark are the
 * state. One of them is in the tab order, the arrow keys go to the others. They are plain links: what holds them has them go to
 * pages (`useLinkClicks`).
 */
import { useState, type FocusEvent, type KeyboardEvent } from "react";

import type { ListedRun } from "../api/queries/dagList";
import { LOOKS, stateWord } from "../lib/states";
import { strings } from "../lib/strings";
import { clock, duration, elapsed } from "../lib/time";
import { paths } from "../paths";
import { now } from "../ui/now";
import classes from "./runbars.module.css";

const LEAST = 0.2;
/** Pixels; the style sheet has each height. */
const HIGH = 16;

export function RunBars({ dagId, runs, shown = 14 }: { dagId: string; runs: ListedRun[]; shown?: number }) {
  const list = runs.slice(-shown);
  const [at, setAt] = useState(list.length - 1);
  if (list.length === 0) return <span className={classes.none}>{strings.dags.neverRan}</span>;
  const lengths = list.map((run) => elapsed(run, now()) ?? 0);
  const longest = Math.max(...lengths, 0.001);
  const inTabOrder = Math.min(Math.max(at, 0), list.length - 1);
  const press = (event: KeyboardEvent<HTMLElement>) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = inTabOrder + (step ?? 0);
    if (step === undefined || next < 0 || next >= list.length) return;
    event.preventDefault();
    setAt(next);
    event.currentTarget.querySelectorAll("a")[next]?.focus();
  };
  const focus = ({ currentTarget, target }: FocusEvent<HTMLElement>) =>
    setAt([...currentTarget.children].indexOf(target));
  return (
    // oxlint-disable-next-line jsx-a11y/no-static-element-interactions
    <span className={classes.bars} onKeyDown={press} onFocus={focus}>
      {list.map((run, index) => {
        const state = stateWord(run.state);
        // Green over failed tasks is listed as what it is.
        const flawed = state === "success" && run.failed_tasks > 0;
        const said = flawed ? strings.dags.successWithFailures(run.failed_tasks) : strings.states[state];
        const length = run.start_date === null ? "" : ` · ${duration(lengths[index] ?? 0)}`;
        const name = `${run.dag_run_id}: ${said} · ${clock(run.run_after, now())}${length}`;
        return (
          <a
            key={run.dag_run_id}
            href={paths.run(dagId, run.dag_run_id)}
            aria-label={name}
            title={name}
            tabIndex={index === inTabOrder ? 0 : -1}
            className={classes.bar}
            data-family={LOOKS[state].family}
            data-state={state}
            data-flawed={flawed || undefined}
            data-high={Math.round(HIGH * Math.max(LEAST, (lengths[index] ?? 0) / longest))}
          />
        );
      })}
    </span>
  );
}
