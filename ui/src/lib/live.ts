/**
 * Whether the server tells what changes (`api/events.ts`). While it does, nothing is polled for. Without that a page asks for news
 * every 2 s while something on it changes, every 10 s otherwise; never while the tab is hidden (react-query's default).
 */
export const ACTIVE_MS = 2_000;
export const IDLE_MS = 10_000;

/** Told: by the stream. Polled: this server has none, or it is not there yet. Away: it was there, and does not answer. */
export type Connection = "told" | "polled" | "away";

let connection: Connection = "polled";
/** When the server was last heard of, in milliseconds since the epoch, while it is away. */
let awaySince: number | null = null;
const listeners = new Set<() => void>();

export const live = {
  isTold: () => connection === "told",
  connection: () => connection,
  awaySince: () => awaySince,
  set(value: Connection, now: number = Date.now()) {
    if (value === connection) return;
    connection = value;
    awaySince = value === "away" ? now : null;
    for (const listener of listeners) listener();
  },
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};

/** For `refetchInterval`. */
export const pollInterval = (active: boolean): number | false =>
  connection === "told" ? false : active ? ACTIVE_MS : IDLE_MS;
