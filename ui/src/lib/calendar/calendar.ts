/** Outcomes of runs by day or by hour, laid out as a year of weeks or a month of hours. Days are `YYYY-MM-DD` in the reader's zone. */
import type { components } from "../../api/schema";

export type CalendarCell = components["schemas"]["CalendarCellResponse"];

export const OUTCOMES = ["failed", "running", "queued", "success", "planned"] as const;
export type Outcome = (typeof OUTCOMES)[number];
export type Outcomes = Record<Outcome, number>;

export const NOTHING: Outcomes = { success: 0, failed: 0, running: 0, queued: 0, planned: 0 };

export const totalOf = (of: Outcomes) => OUTCOMES.reduce((sum, outcome) => sum + of[outcome], 0);

const plus = (a: Outcomes, b: Outcomes): Outcomes => ({
  success: a.success + b.success,
  failed: a.failed + b.failed,
  running: a.running + b.running,
  queued: a.queued + b.queued,
  planned: a.planned + b.planned,
});

const partsIn = (zone: string) => {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    hourCycle: "h23",
  });
  return (iso: string) => {
    const parts = Object.fromEntries(format.formatToParts(new Date(iso)).map(({ type, value }) => [type, value]));
    return { day: `${parts["year"]}-${parts["month"]}-${parts["day"]}`, hour: Number(parts["hour"]) };
  };
};

export const dayIn = (zone: string, iso: string) => partsIn(zone)(iso).day;

/** By day. Two cells of one day (the zone's midnight is not the server's) are added up. */
export function byDay(cells: readonly CalendarCell[], zone: string): Map<string, Outcomes> {
  const parts = partsIn(zone);
  const days = new Map<string, Outcomes>();
  for (const cell of cells) {
    const { day } = parts(cell.start);
    days.set(day, plus(days.get(day) ?? NOTHING, cell));
  }
  return days;
}

export const hourKey = (day: string, hour: number) => `${day}T${String(hour).padStart(2, "0")}`;

/** By day and hour. The hour that a zone has twice in autumn holds both. */
export function byHour(cells: readonly CalendarCell[], zone: string): Map<string, Outcomes> {
  const parts = partsIn(zone);
  const hours = new Map<string, Outcomes>();
  for (const cell of cells) {
    const { day, hour } = parts(cell.start);
    const key = hourKey(day, hour);
    hours.set(key, plus(hours.get(key) ?? NOTHING, cell));
  }
  return hours;
}

// Days are counted in UTC, where each has 24 hours: these are dates of a calendar, not moments.
const DAY_MS = 86_400_000;
const utc = (day: string) => Date.parse(`${day}T00:00:00Z`);
const dayOf = (time: number) => new Date(time).toISOString().slice(0, 10);
export const addDays = (day: string, n: number) => dayOf(utc(day) + n * DAY_MS);
/** Monday is 0. */
export const weekday = (day: string) => (new Date(utc(day)).getUTCDay() + 6) % 7;

/** The weeks of a year, Monday first; null where a day belongs to another year. */
export function weeksOf(year: number): (string | null)[][] {
  const first = `${String(year).padStart(4, "0")}-01-01`;
  const last = `${String(year).padStart(4, "0")}-12-31`;
  const weeks: (string | null)[][] = [];
  for (let monday = addDays(first, -weekday(first)); monday <= last; monday = addDays(monday, 7)) {
    weeks.push(
      Array.from({ length: 7 }, (_, n) => {
        const day = addDays(monday, n);
        return day >= first && day <= last ? day : null;
      }),
    );
  }
  return weeks;
}

/** `month` is `YYYY-MM`. */
export function daysOf(month: string): string[] {
  const days: string[] = [];
  for (let day = `${month}-01`; day.startsWith(month); day = addDays(day, 1)) days.push(day);
  return days;
}

export function addMonths(month: string, n: number): string {
  const [year = 0, of = 1] = month.split("-").map(Number);
  const count = year * 12 + of - 1 + n;
  return `${String(Math.floor(count / 12)).padStart(4, "0")}-${String((count % 12) + 1).padStart(2, "0")}`;
}

/** What a cell looks like: one outcome, or a part that failed over the rest. */
export interface Face {
  outcome: Outcome | null;
  /** 0 … 1: how much of what has ended or goes on has failed, when something else has not. */
  failedPart: number;
}

export function faceOf(of: Outcomes): Face {
  const outcome = OUTCOMES.find((each) => of[each] > 0) ?? null;
  const others = of.success + of.running + of.queued;
  return { outcome, failedPart: of.failed > 0 && others > 0 ? of.failed / (of.failed + others) : 0 };
}
