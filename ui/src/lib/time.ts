/** Times and durations as people read them. Everything takes its `now` (milliseconds since the epoch): these are pure. */

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** "3 min ago", "in 7 hr."; "now" within a second. */
export function ago(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  const [unit, size] = UNITS.find(([, least]) => Math.abs(seconds) >= least) ?? (["second", 1] as const);
  return relative.format(Math.trunc(seconds / size), unit);
}

const two = (n: number) => String(n).padStart(2, "0");

/** `14:03:07` on the day of `now`, `2026-11-21 14:03` otherwise; in the zone of the browser. */
export function clock(iso: string, now: number): string {
  const at = new Date(iso);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (at.toDateString() === new Date(now).toDateString()) return `${time}:${two(at.getSeconds())}`;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

/** `250 ms`, `4.2 s`, `42 s`, `1 m 12 s`, `2 h 05 m`, `3 d 4 h`; never negative. */
export function duration(seconds: number): string {
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${two(Math.floor((whole % 3_600) / 60))} m`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

/** The server's duration when there is one, the time since the start while something runs, else null. */
export function elapsed(
  of: { duration: number | null; start_date: string | null; end_date: string | null },
  now: number,
): number | null {
  if (of.end_date !== null && of.duration !== null) return of.duration;
  return of.start_date === null
    ? null
    : ((of.end_date === null ? now : Date.parse(of.end_date)) - Date.parse(of.start_date)) / 1000;
}
