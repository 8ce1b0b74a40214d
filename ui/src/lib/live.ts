/**
 * How often a page asks for news until the event stream exists: every 2 s while something on it changes, every 10 s otherwise,
 * so that what somebody else starts shows up too; never while the tab is hidden (react-query's default).
 */
export const ACTIVE_MS = 2_000;
export const IDLE_MS = 10_000;

export const pollInterval = (active: boolean) => (active ? ACTIVE_MS : IDLE_MS);
