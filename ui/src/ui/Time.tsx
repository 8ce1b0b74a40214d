import { ago, clock, duration, elapsed } from "../lib/time";
import { strings } from "../lib/strings";
import { useNow } from "./now";

/** `14:03:07 · 3 min ago`, with the full time in its title; a dash for null. */
export function Time({ at, short = false }: { at: string | null; short?: boolean }) {
  const text = useNow((now) => (at === null ? "" : short ? ago(at, now) : `${clock(at, now)} · ${ago(at, now)}`));
  if (at === null) return strings.app.none;
  return (
    <time dateTime={at} title={at}>
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
