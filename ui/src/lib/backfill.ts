/** What a backfill's form means. Pure. */
import { instantAt } from "./time";

export interface Dates {
  /** `2026-11-01`, in the zone of the DAG. */
  from: string;
  to: string;
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** The first instant of `from` and the last second of `to`, in the zone of the DAG; null while they are no such dates. */
export function instants({ from, to }: Dates, zone: string): { from_date: string; to_date: string } | null {
  if (!DAY.test(from) || !DAY.test(to) || from > to) return null;
  const from_date = instantAt(`${from}T00:00`, zone);
  const to_date = instantAt(`${to}T23:59:59`, zone);
  return from_date === null || to_date === null ? null : { from_date, to_date };
}

/** Seconds that so many runs take, so many at once, when each takes as long as the middle one of these. */
export function estimate(runs: number, atOnce: number, durations: readonly number[]): number | null {
  const sorted = durations.toSorted((a, b) => a - b);
  const usual = sorted[Math.floor(sorted.length / 2)];
  return usual === undefined || atOnce < 1 ? null : Math.ceil(runs / atOnce) * usual;
}
