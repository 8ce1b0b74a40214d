import { useRef, useState, type CSSProperties, type KeyboardEvent, type ReactNode } from "react";
import { Link } from "react-router";

import { faceOf, OUTCOMES, totalOf, type Outcomes } from "../../lib/calendar/calendar";
import { strings } from "../../lib/strings";
import { TipCard } from "../../parts/grid/TipCard";
import { StateMark } from "../../ui/StateMark";
import classes from "./calendar.module.css";
import { said, wordOf } from "./Legend";

interface CellProps {
  /** In words: the day, or the hour of it. */
  name: string;
  of: Outcomes | undefined;
  to: string;
  isToday: boolean;
  isTabStop: boolean;
}

/** A day or an hour: a link to its runs, or a dot where there is none. */
export function CalendarCell({ name, of, to, isToday, isTabStop }: CellProps) {
  if (of === undefined || totalOf(of) === 0) {
    return <span className={classes.none} data-today={isToday ? "" : undefined} />;
  }
  const { outcome, failedPart } = faceOf(of);
  const isPlanned = outcome === "planned";
  const look = {
    className: classes.cell,
    "data-name": name,
    "data-today": isToday ? "" : undefined,
    "data-s": isPlanned ? undefined : (outcome ?? undefined),
    "data-planned": isPlanned ? "" : undefined,
    "data-mixed": failedPart > 0 ? "" : undefined,
    style: failedPart > 0 ? ({ "--part": `${Math.max(20, failedPart * 100)}%` } as CSSProperties) : undefined,
  };
  const label = strings.dag.runsOn(name, said(of));
  if (isPlanned) return <span {...look} role="img" aria-label={label} />;
  return <Link {...look} to={to} aria-label={label} tabIndex={isTabStop ? 0 : -1} />;
}

/**
 * What the cells of a calendar have in common: a card with the counts beside the one that is looked at, and the arrow keys from one
 * that has runs to the next.
 */
export function Cells({ find, children }: { find: (name: string) => Outcomes | undefined; children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  const [tip, setTip] = useState<{ name: string; box: DOMRect } | null>(null);
  const show = (element: EventTarget) => {
    const cell = (element as HTMLElement).closest<HTMLElement>("[data-name]");
    setTip(cell === null ? null : { name: cell.dataset["name"] ?? "", box: cell.getBoundingClientRect() });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    const links = [...(box.current?.querySelectorAll<HTMLElement>("a[data-name]") ?? [])].toSorted((a, b) =>
      (a.dataset["name"] ?? "") < (b.dataset["name"] ?? "") ? -1 : 1,
    );
    const at = links.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    links[Math.min(Math.max(at + step, 0), links.length - 1)]?.focus();
    event.preventDefault();
  };
  const of = tip === null ? undefined : find(tip.name);
  return (
    // oxlint-disable-next-line jsx-a11y/no-static-element-interactions -- listens for its links
    <div
      ref={box}
      onKeyDown={onKeyDown}
      onPointerOver={(event) => event.pointerType !== "touch" && show(event.target)}
      onPointerLeave={() => setTip(null)}
      onFocus={(event) => event.target.matches(":focus-visible") && show(event.target)}
      onBlur={() => setTip(null)}
    >
      {children}
      {tip !== null && of !== undefined && (
        <TipCard box={tip.box}>
          <strong>{tip.name}</strong>
          {OUTCOMES.filter((outcome) => of[outcome] > 0).map((outcome) => (
            <div key={outcome} className={classes.tipLine}>
              {outcome === "planned" ? (
                <i className={classes.cell} data-planned="" />
              ) : (
                <StateMark state={outcome} size={14} />
              )}
              {strings.dag.countOf(of[outcome], wordOf(outcome))}
            </div>
          ))}
        </TipCard>
      )}
    </div>
  );
}
