import { useLayoutEffect, useRef } from "react";

import { dayIn, weeksOf, type Outcomes } from "../../lib/calendar/calendar";
import { preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { now } from "../../ui/now";
import classes from "./calendar.module.css";
import { CalendarCell, Cells } from "./cells";

/** Weeks from left to right, Monday on top. */
export function Year({ dagId, year, days }: { dagId: string; year: number; days: Map<string, Outcomes> }) {
  const weeks = weeksOf(year);
  const today = dayIn(preferences.zone(), new Date(now()).toISOString());
  const box = useRef<HTMLDivElement>(null);
  // A narrow window opens where today is.
  useLayoutEffect(() => {
    const cell = box.current?.querySelector<HTMLElement>("[data-today]");
    if (cell != null && box.current !== null) box.current.scrollLeft = cell.offsetLeft - box.current.clientWidth * 0.8;
  }, []);
  const stops = [...days.keys()].filter((day) => day <= today).toSorted();
  const stop = stops.at(-1) ?? [...days.keys()].toSorted()[0];
  return (
    <Cells find={(name) => days.get(name)}>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls can be scrolled by keyboard */}
      <div ref={box} className={classes.scroll} role="region" aria-label={strings.dag.calendarLabel} tabIndex={0}>
        <div className={classes.year} style={{ gridTemplateColumns: `auto repeat(${weeks.length}, var(--cell))` }}>
          {weeks.map((week, column) => {
            const first = week.find((day) => day?.endsWith("-01"));
            return first === undefined || first === null ? null : (
              <span key={first} className={classes.monthLabel} style={{ gridColumn: column + 2, gridRow: 1 }}>
                {strings.dag.months[Number(first.slice(5, 7)) - 1]}
              </span>
            );
          })}
          {strings.dag.weekdays.map((name, row) => (
            <span key={name} className={classes.weekday} style={{ gridColumn: 1, gridRow: row + 2 }}>
              {row % 2 === 0 ? name : ""}
            </span>
          ))}
          {weeks.map((week, column) =>
            week.map((day, row) =>
              day === null ? null : (
                <span key={day} style={{ gridColumn: column + 2, gridRow: row + 2 }} className={classes.place}>
                  <CalendarCell
                    name={day}
                    of={days.get(day)}
                    to={paths.dag(dagId, "runs", { from: day, to: day })}
                    isToday={day === today}
                    isTabStop={day === stop}
                  />
                </span>
              ),
            ),
          )}
        </div>
      </div>
    </Cells>
  );
}
