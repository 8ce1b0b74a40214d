/**
 * Times and durations as people read them, in the language and the zone chosen in `preferences`.
 * Everything takes its `now` (milliseconds since the epoch): nothing here looks at a clock.
 */
import { languageTag, preferences, type Language } from "./preferences";

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

function cached<K, V>(make: (key: K) => V): (key: K) => V {
  const made = new Map<K, V>();
  return (key) => {
    let value = made.get(key);
    if (value === undefined) made.set(key, (value = make(key)));
    return value;
  };
}

const relative = cached(
  (language: Language) =>
    new Intl.RelativeTimeFormat(languageTag(language), {
      numeric: "auto",
      style: language === "en" ? "short" : "long",
    }),
);

/** "3 min ago", "in 7 hr"; "now" within a second. */
export function ago(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  const [unit, size] = UNITS.find(([, least]) => Math.abs(seconds) >= least) ?? (["second", 1] as const);
  return relative(preferences.language())
    .format(Math.trunc(seconds / size), unit)
    .replace(".", "");
}

/** What the clock on the wall of a zone shows. Months count from 1. */
export interface Wall {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

const formats = cached(
  (timeZone: string) =>
    new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    }),
);

/** Zones change their offset at full quarters of an hour only, since 1972; asking the browser is slow where there are many times. */
const QUARTER_MS = 900_000;
const SINCE = 1972;
const MOST = 10_000;
const offsets = cached((_zone: string) => new Map<number, number>());

export function wall(ms: number, zone: string = preferences.zone()): Wall {
  const quarter = Math.floor(ms / QUARTER_MS);
  const known = offsets(zone);
  let offset = known.get(quarter);
  if (offset === undefined) {
    const w = exactWall(ms, zone);
    if (w.year <= SINCE) return w;
    offset = Date.UTC(w.year, w.month - 1, w.day, w.hour, w.minute, w.second) - Math.floor(ms / 1000) * 1000;
    if (known.size >= MOST) known.clear();
    known.set(quarter, offset);
  }
  const at = new Date(ms + offset);
  return {
    year: at.getUTCFullYear(),
    month: at.getUTCMonth() + 1,
    day: at.getUTCDate(),
    hour: at.getUTCHours(),
    minute: at.getUTCMinutes(),
    second: at.getUTCSeconds(),
  };
}

function exactWall(ms: number, zone: string): Wall {
  const of: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of formats(zone).formatToParts(ms)) of[type] = Number(value);
  const { year = 0, month = 1, hour = 0, minute = 0, second = 0 } = of;
  return { year, month, day: of.day ?? 1, hour, minute, second };
}

/** How far a zone is ahead of UTC at an instant. */
export function offsetSeconds(ms: number, zone: string = preferences.zone()): number {
  const w = wall(ms, zone);
  return Math.round(Date.UTC(w.year, w.month - 1, w.day, w.hour, w.minute, w.second) / 1000 - Math.floor(ms / 1000));
}

const two = (n: number) => String(n).padStart(2, "0");

/** `+08:00`, `-03:30`; `Z` for none. */
export function offsetText(seconds: number): string {
  if (seconds === 0) return "Z";
  const minutes = Math.round(Math.abs(seconds) / 60);
  return `${seconds < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** `UTC+8`, `UTC−3:30`, `UTC`: how a zone is named where there is little room. */
export function zoneLabel(ms: number, zone: string = preferences.zone()): string {
  const seconds = offsetSeconds(ms, zone);
  if (seconds === 0) return "UTC";
  const minutes = Math.round(Math.abs(seconds) / 60);
  const rest = minutes % 60;
  return `UTC${seconds < 0 ? "−" : "+"}${Math.floor(minutes / 60)}${rest === 0 ? "" : `:${two(rest)}`}`;
}

/** `2026-11-21` */
export function day(iso: string, zone: string = preferences.zone()): string {
  const w = wall(Date.parse(iso), zone);
  return `${w.year}-${two(w.month)}-${two(w.day)}`;
}

/** `14:03:07` on the day of `now`, `2026-11-21 14:03` otherwise. */
export function clock(iso: string, now: number, zone: string = preferences.zone()): string {
  const w = wall(Date.parse(iso), zone);
  const today = wall(now, zone);
  const time = `${two(w.hour)}:${two(w.minute)}`;
  if (w.day === today.day && w.month === today.month && w.year === today.year) return `${time}:${two(w.second)}`;
  return `${w.year}-${two(w.month)}-${two(w.day)} ${time}`;
}

/** `2026-11-21T14:03:07.250+08:00` */
export function isoInZone(iso: string, zone: string = preferences.zone()): string {
  const ms = Date.parse(iso);
  const offset = offsetSeconds(ms, zone);
  return new Date(ms + offset * 1000).toISOString().replace(/(\.000)?Z$/, "") + offsetText(offset);
}

/** The whole truth about an instant, for a title: in the chosen zone and in UTC (in UTC and the browser's, when UTC is chosen). */
export function bothZones(iso: string): string {
  const zone = preferences.zone();
  const isUtc = offsetSeconds(Date.parse(iso), zone) === 0;
  const other = isUtc ? Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC";
  const first = `${isoInZone(iso, zone)} (${zone})`;
  return other === zone ? first : `${first}\n${isoInZone(iso, other)} (${other})`;
}

/** The instant at which a wall clock shows `2026-11-21T14:03` (what `<input type="datetime-local">` gives), or null. */
export function instantAt(text: string, zone: string = preferences.zone()): string | null {
  const asUtc = Date.parse(`${text}Z`);
  if (Number.isNaN(asUtc)) return null;
  // The offset before a change of the clocks and the one after it: the first that gives the same wall time back is right.
  for (const near of [asUtc, asUtc - 86_400_000, asUtc + 86_400_000]) {
    const ms = asUtc - offsetSeconds(near, zone) * 1000;
    if (ms + offsetSeconds(ms, zone) * 1000 === asUtc) return new Date(ms).toISOString();
  }
  // A time that the clocks skip: what they show then.
  return new Date(asUtc - offsetSeconds(asUtc, zone) * 1000).toISOString();
}

/** The other way round: what `<input type="datetime-local">` takes, to the minute. */
export const localInput = (iso: string, zone: string = preferences.zone()) => isoInZone(iso, zone).slice(0, 16);

const SYMBOLS: Record<Language, Record<"ms" | "s" | "m" | "h" | "d", string>> = {
  en: { ms: "ms", s: "s", m: "m", h: "h", d: "d" },
  zh: { ms: "毫秒", s: "秒", m: "分", h: "小时", d: "天" },
};

/** `250 ms`, `4.2 s`, `42 s`, `1 m 12 s`, `2 h 05 m`, `3 d 4 h`; never negative. */
export function duration(seconds: number): string {
  const unit = SYMBOLS[preferences.language()];
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ${unit.ms}`;
  if (s < 9.95) return `${s.toFixed(1)} ${unit.s}`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} ${unit.s}`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} ${unit.m} ${two(whole % 60)} ${unit.s}`;
  if (whole < 86_400)
    return `${Math.floor(whole / 3_600)} ${unit.h} ${two(Math.floor((whole % 3_600) / 60))} ${unit.m}`;
  return `${Math.floor(whole / 86_400)} ${unit.d} ${Math.floor((whole % 86_400) / 3_600)} ${unit.h}`;
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
