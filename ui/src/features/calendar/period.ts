/** Which year or month the address asks for: `?view=month&at=2026-11`, `?at=2025`. */
import { addMonths } from "../../lib/calendar/calendar";
import { preferences } from "../../lib/preferences";
import { instantAt, wall } from "../../lib/time";

export interface Period {
  view: "year" | "month";
  /** `2026` or `2026-11`. */
  at: string;
  /** Today's, in the reader's zone. */
  current: string;
  before: string;
  after: string;
  asked: { from: string; to: string; granularity: "day" | "hour"; zone: string };
}

const two = (n: number) => String(n).padStart(2, "0");

export function periodOf(search: URLSearchParams, now: number): Period {
  const zone = preferences.zone();
  const today = wall(now, zone);
  const view = search.get("view") === "month" ? "month" : "year";
  const given = search.get("at") ?? "";
  const start = (day: string) => instantAt(`${day}T00:00`, zone) ?? new Date(0).toISOString();
  if (view === "month") {
    const current = `${today.year}-${two(today.month)}`;
    const at = /^\d{4}-(0[1-9]|1[0-2])$/.test(given) ? given : current;
    const after = addMonths(at, 1);
    return {
      view,
      at,
      current,
      before: addMonths(at, -1),
      after,
      asked: { from: start(`${at}-01`), to: start(`${after}-01`), granularity: "hour", zone },
    };
  }
  const current = String(today.year);
  const at = /^\d{4}$/.test(given) ? given : current;
  const after = String(Number(at) + 1);
  return {
    view,
    at,
    current,
    before: String(Number(at) - 1),
    after,
    asked: { from: start(`${at}-01-01`), to: start(`${after}-01-01`), granularity: "day", zone },
  };
}
