import { LOOKS, stateWord } from "../lib/states";
import { strings } from "../lib/strings";
import classes from "./state.module.css";

/** The mark of a state. Decoration only: the state must be said in words next to it, or in the name of what contains it. */
export function StateMark({ state, size = 18 }: { state: string | null; size?: number }) {
  const look = LOOKS[stateWord(state)];
  return (
    <svg
      className={classes.mark}
      data-family={look.family}
      data-fill={look.fill}
      width={size}
      height={size}
      viewBox="0 0 12 12"
      aria-hidden="true"
    >
      <path d={look.glyph} />
    </svg>
  );
}

/** Mark and word. */
export function StateChip({ state }: { state: string | null }) {
  return (
    <span className={classes.chip}>
      <StateMark state={state} />
      {strings.states[stateWord(state)]}
    </span>
  );
}
