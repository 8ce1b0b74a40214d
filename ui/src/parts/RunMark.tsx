import { Link } from "react-router";

import type { DagRun } from "../api/client";
import { stateWord } from "../lib/states";
import { strings } from "../lib/strings";
import { paths } from "../paths";
import { StateMark } from "../ui/StateMark";

/** A run as a mark that leads to it; its name for everybody who cannot see the mark is its id and state. */
export function RunMark({ run }: { run: DagRun }) {
  const name = `${run.dag_run_id}: ${strings.states[stateWord(run.state)]}`;
  return (
    <Link to={paths.run(run.dag_id, run.dag_run_id)} aria-label={name} title={name} style={{ lineHeight: 0 }}>
      <StateMark state={run.state} size={20} />
    </Link>
  );
}
