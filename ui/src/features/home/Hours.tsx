import { Link } from "react-router";

import type { Hour } from "../../api/queries/home";
import { strings } from "../../lib/strings";
import { number } from "../../lib/strings/plural";
import { clock, wall } from "../../lib/time";
import { paths } from "../../paths";
import { StateMark } from "../../ui/StateMark";
import classes from "./home.module.css";

/** From the ground up. */
const STATES = ["success", "failed", "running", "queued"] as const;
const HOUR_MS = 3_600_000;
/** A bar that is there is seen. */
const LEAST = 3;

/** Runs of the last day by the hour they were due in, stacked by state; each hour and each number leads to its runs. */
export function Hours({ hours }: { hours: Hour[] }) {
  const words = strings.home;
  const sums = hours.map((hour) => STATES.reduce((sum, state) => sum + hour[state], 0));
  const highest = Math.max(1, ...sums);
  const total = (state: (typeof STATES)[number]) => hours.reduce((sum, hour) => sum + hour[state], 0);
  return (
    <div className={classes.hours}>
      <div className={classes.bars}>
        {hours.map((hour, index) => {
          const at = Date.parse(hour.start);
          const parts = STATES.filter((state) => hour[state] > 0).map((state) =>
            words.ofState(hour[state], strings.states[state]),
          );
          const said = words.hour(
            clock(hour.start, at + 2 * 86_400_000),
            parts.length === 0 ? words.hoursNone : parts.join(", "),
          );
          const to = paths.runs({
            run_after_gte: hour.start,
            run_after_lt: new Date(at + HOUR_MS).toISOString(),
          });
          const label = wall(at).hour;
          return (
            <Link key={hour.start} to={to} className={classes.hour} aria-label={said} title={said}>
              <span className={classes.stack}>
                {STATES.toReversed().map(
                  (state) =>
                    hour[state] > 0 && (
                      <i
                        key={state}
                        data-state={state}
                        style={{ height: `max(${LEAST}px, ${(100 * hour[state]) / highest}%)` }}
                      />
                    ),
                )}
              </span>
              <small aria-hidden="true">{index % 3 === 0 ? label : ""}</small>
            </Link>
          );
        })}
      </div>
      <div className={classes.legend}>
        {STATES.map((state) => (
          <Link key={state} to={paths.runs({ state })}>
            <StateMark state={state} size={14} /> {strings.states[state]} <b>{number(total(state))}</b>
          </Link>
        ))}
      </div>
    </div>
  );
}
