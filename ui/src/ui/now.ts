import { useSyncExternalStore } from "react";

/** One clock for all relative times of the page; it stands still while nothing shows a time or the tab is hidden. */
const TICK_MS = 1_000;
const listeners = new Set<() => void>();
let time = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function tick() {
  if (document.hidden) return;
  time = Date.now();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  if (timer === undefined) {
    // It stood still.
    time = Date.now();
    timer = setInterval(tick, TICK_MS);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** Milliseconds since the epoch, as `select` sees them; the component renders again only when that changes. */
export function useNow<T extends string | number | null>(select: (now: number) => T): T {
  return useSyncExternalStore(subscribe, () => select(time));
}

/** The same clock for what need not be exact, such as a title: it makes nothing render again. */
export const now = () => time;
