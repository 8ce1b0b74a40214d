import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import type { TaskInstance } from "../../api/client";
import { tryFactsQuery, type TaskKey } from "../../api/queries";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { StateMark } from "../../ui/StateMark";
import classes from "./task-instance.module.css";

/** The tries of a task, each a link to its log. Nothing while there is only one. */
export function Tries({ task, taskKey, shown }: { task: TaskInstance; taskKey: TaskKey; shown: number }) {
  const count = task.try_number;
  const { data } = useQuery({ ...tryFactsQuery(taskKey, task.state), enabled: count > 1 });
  if (count <= 1) return null;
  // Undefined while the server has not said.
  const stateOf = (n: number) =>
    n === count ? task.state : data?.tries.find((attempt) => attempt.try_number === n)?.state;
  return (
    <nav aria-label={strings.logs.tries} className={classes.tries}>
      {Array.from({ length: count }, (_, index) => index + 1).map((n) => {
        const state = stateOf(n);
        return (
          <Link
            key={n}
            to={paths.log(taskKey, n)}
            aria-current={n === shown ? "page" : undefined}
            aria-label={state === undefined ? undefined : strings.logs.tryIs(n, strings.states[stateWord(state)])}
          >
            {state !== undefined && <StateMark state={state} size={16} />}
            {strings.logs.try(n)}
          </Link>
        );
      })}
    </nav>
  );
}
