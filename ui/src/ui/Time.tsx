/**
 * Every time and duration of the dashboard. `<Time at>`: `14:03:07 · 3 min ago` in the chosen zone, ISO in both zones on hover and
 * focus of what holds it; `short`: only the relative part. `<Elapsed {...task}>`: how long something took or is taking;
 * `<Duration seconds>`: a given number of seconds.
 */
import { strings } from "../lib/strings";
import { ago, bothZones, clock, duration, elapsed } from "../lib/time";
import { useNow } from "./now";

/** A dash for null. */
export function Time({ at, short = false }: { at: string | null; short?: boolean }) {
  const text = useNow((now) => (at === null ? "" : short ? ago(at, now) : `${clock(at, now)} · ${ago(at, now)}`));
  if (at === null) return strings.app.none;
  return (
    <time dateTime={at} title={bothZones(at)}>
      {text}
    </time>
  );
}

/** How long something took, or has been going on until now. */
export function Elapsed(of: { duration: number | null; start_date: string | null; end_date: string | null }) {
  return useNow((now) => {
    const seconds = elapsed(of, now);
    return seconds === null ? strings.app.none : duration(seconds);
  });
}

export const Duration = ({ seconds }: { seconds: number | null }) =>
  seconds === null ? strings.app.none : duration(seconds);
