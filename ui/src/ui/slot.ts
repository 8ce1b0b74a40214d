/** Where the frame shows the breadcrumbs that a page brings. */
import { useSyncExternalStore } from "react";

let slot: HTMLElement | null = null;
const listeners = new Set<() => void>();

/** For the frame: a ref of the element. */
export function setCrumbsSlot(element: HTMLElement | null) {
  slot = element;
  for (const listener of listeners) listener();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

export const useCrumbsSlot = () => useSyncExternalStore(subscribe, () => slot);
