import { dayIn, daysOf, hourKey, weekday, type Outcomes } from "../../lib/calendar/calendar";
import { preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { now } from "../../ui/now";
import classes from "./calendar.module.css";
import { CalendarCell, Cells } from "./cells";

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const two = (n: number) => String(n).padStart(2, "0");

/** Days from left to right, hours from midnight down: a time of day that always fails is a line. */
export function Month({ dagId, month, hours }: { dagId: string; month: string; hours: Map<string, Outcomes> }) {
  const days = daysOf(month);
  const today = dayIn(preferences.zone(), new Date(now()).toISOString());
  const nameOf = (key: string) => `${key.replace("T", " ")}:00`;
  const named = new Map([...hours].map(([key, of]) => [nameOf(key), of]));
  const ended = [...hours].filter(([, of]) => of.success + of.failed + of.running + of.queued > 0).map(([key]) => key);
  const stop = ended.toSorted().at(-1);
  return (
    <Cells find={(name) => named.get(name)}>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls can be scrolled by keyboard */}
      <div className={classes.scroll} role="region" aria-label={strings.dag.calendarLabel} tabIndex={0}>
        <div className={classes.month} style={{ gridTemplateColumns: `auto repeat(${days.length}, var(--cell))` }}>
          {days.map((day, column) => (
            <span
              key={day}
              className={classes.dayLabel}
              style={{ gridColumn: column + 2, gridRow: 1 }}
              data-weekend={weekday(day) > 4 ? "" : undefined}
              data-today={day === today ? "" : undefined}
              title={`${day} ${strings.dag.weekdays[weekday(day)] ?? ""}`}
            >
              {Number(day.slice(-2))}
              <small>{(strings.dag.weekdays[weekday(day)] ?? "").slice(0, 1)}</small>
            </span>
          ))}
          {HOURS.map((hour) => (
            <span key={hour} className={classes.weekday} style={{ gridColumn: 1, gridRow: hour + 2 }}>
              {hour % 3 === 0 ? `${two(hour)}:00` : ""}
            </span>
          ))}
          {days.map((day, column) =>
            HOURS.map((hour) => {
              const key = hourKey(day, hour);
              return (
                <span key={key} style={{ gridColumn: column + 2, gridRow: hour + 2 }} className={classes.place}>
                  <CalendarCell
                    name={nameOf(key)}
                    of={hours.get(key)}
                    to={paths.dag(dagId, "runs", { from: `${key}:00`, to: `${key}:59` })}
                    isToday={false}
                    isTabStop={key === stop}
                  />
                </span>
              );
            }),
          )}
        </div>
      </div>
    </Cells>
  );
}
