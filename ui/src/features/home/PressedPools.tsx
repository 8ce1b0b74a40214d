import { Link } from "react-router";

import type { PressedPool } from "../../api/queries/home";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import classes from "./home.module.css";
import { TaskLink } from "./WaitingList";

/** Pools that are full, or nearly, with those who hold them. */
export function PressedPools({ pools }: { pools: PressedPool[] }) {
  const words = strings.home;
  if (pools.length === 0) return <p className={classes.quiet}>{words.poolsNone}</p>;
  return (
    <ul className={classes.list}>
      {pools.map((pool) => {
        const full = pool.slots >= 0 && pool.occupied >= pool.slots;
        const waiters = pool.scheduled ?? pool.queued;
        return (
          <li key={pool.name} className={classes.item}>
            <div className={classes.what}>
              <div className={classes.line}>
                <span className={classes.path}>
                  <Link to={paths.pools()}>{pool.name}</Link>
                </span>
                <span className={classes.fact}>{words.slots(pool.occupied, pool.slots)}</span>
                {waiters > 0 && <b className={classes.fact}>{words.poolWaits(waiters)}</b>}
              </div>
              <div className={classes.progress}>
                <i
                  style={{ width: `${100 * Math.min(1, pool.occupied / Math.max(1, pool.slots))}%` }}
                  data-full={full || undefined}
                />
              </div>
              {pool.holders.length > 0 && (
                <div className={classes.refs}>
                  <span>{words.heldBy}</span>
                  {pool.holders.map((holder) => (
                    <TaskLink
                      key={`${holder.dag_id} ${holder.dag_run_id} ${holder.task_id} ${holder.map_index}`}
                      of={holder}
                    />
                  ))}
                </div>
              )}
            </div>
          </li>
        );
      })}
    </ul>
  );
}
