import { Link } from "react-router";

import type { Home } from "../../api/queries/home";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Time } from "../../ui/Time";
import classes from "./home.module.css";

export function Upcoming({ next }: { next: Home["next"] }) {
  if (next.length === 0) return <p className={classes.quiet}>{strings.home.nextNone}</p>;
  return (
    <ol className={classes.upcoming}>
      {next.map(({ dag_id, run_after }) => (
        <li key={`${dag_id} ${run_after}`}>
          <Link to={paths.dag(dag_id)} title={dag_id}>
            {dag_id}
          </Link>
          <Time at={run_after} short />
        </li>
      ))}
    </ol>
  );
}
