/**
 * How often a page asks for news. While the server tells what changes (`api/events.ts`) that is only for what it does not tell of.
 * Without that: every 2 s while something on the page changes, every 10 s otherwise, so that what somebody else starts shows up too.
 * Never while the tab is hidden (react-query's default).
 */
export const ACTIVE_MS = 2_000;
export const IDLE_MS = 10_000;
export const TOLD_MS = 60_000;

let told = false;

/** Whether the server tells what changes. */
export const live = {
  isTold: () => told,
  setTold(value: boolean) {
    told = value;
  },
};

export const pollInterval = (active: boolean) => (told ? TOLD_MS : active ? ACTIVE_MS : IDLE_MS);
