import { useSyncExternalStore } from "react";

/** How a person likes logs to look; kept for this browser. */
export type TimeMode = "local" | "utc" | "delta" | "none";
export const TIME_MODES: readonly TimeMode[] = ["local", "utc", "delta", "none"];

export interface LogSettings {
  wrap: boolean;
  time: TimeMode;
  source: boolean;
}

const KEY = "updraft.log";
const USUAL: LogSettings = { wrap: true, time: "local", source: false };
const listeners = new Set<() => void>();
let settings = read();

function read(): LogSettings {
  try {
    return { ...USUAL, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<LogSettings>) };
  } catch {
    return USUAL;
  }
}

export function changeLogSettings(change: Partial<LogSettings>) {
  settings = { ...settings, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // For this page only, then.
  }
  for (const listener of listeners) listener();
}

export const useLogSettings = () =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => settings,
  );
