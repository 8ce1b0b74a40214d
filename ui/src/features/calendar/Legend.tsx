import { OUTCOMES, totalOf, type Outcome, type Outcomes } from "../../lib/calendar/calendar";
import { strings } from "../../lib/strings";
import classes from "./calendar.module.css";

export const wordOf = (outcome: Outcome) => (outcome === "planned" ? strings.dag.planned : strings.states[outcome]);

/** "2 failed, 1 success", worst first. */
export const said = (of: Outcomes) =>
  totalOf(of) === 0
    ? strings.dag.nothing
    : OUTCOMES.filter((outcome) => of[outcome] > 0)
        .map((outcome) => strings.dag.countOf(of[outcome], wordOf(outcome)))
        .join(", ");

export function Legend() {
  return (
    <p className={classes.legend}>
      {(["success", "failed"] as const).map((outcome) => (
        <span key={outcome}>
          <i className={classes.cell} data-s={outcome} /> {wordOf(outcome)}
        </span>
      ))}
      <span>
        <i className={classes.cell} data-s="failed" data-mixed="" style={{ "--part": "35%" } as React.CSSProperties} />{" "}
        {strings.dag.mixed}
      </span>
      {(["running", "queued"] as const).map((outcome) => (
        <span key={outcome}>
          <i className={classes.cell} data-s={outcome} /> {wordOf(outcome)}
        </span>
      ))}
      <span>
        <i className={classes.cell} data-planned="" /> {wordOf("planned")}
      </span>
    </p>
  );
}
