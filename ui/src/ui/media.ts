/** What the window is like, for what CSS cannot do: `useMedia("(max-width: 48em)")`. `NARROW` is a phone. */
import { useCallback, useSyncExternalStore } from "react";

export const NARROW = "(max-width: 48em)";
export const COARSE = "(pointer: coarse)";

export function useMedia(query: string): boolean {
  const subscribe = useCallback(
    (changed: () => void) => {
      const list = window.matchMedia(query);
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => window.matchMedia(query).matches);
}
