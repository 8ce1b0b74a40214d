/**
 * What can be done from the command palette (Ctrl-K) on the page that is shown. A page registers its actions with
 * `usePaletteActions` (`ui/usePaletteActions.ts`): `[{ id: "trigger", label: "Trigger payments_sync", icon: "play", to: … }]`.
 */
import type { IconName } from "./icons";

export interface PaletteAction {
  /** Unique on the page. */
  id: string;
  label: string;
  icon?: IconName;
  /** More words it is found by. */
  keywords?: string;
  /** An address … */
  to?: string;
  /** … or what it does. */
  run?: () => void;
  /** Why it cannot be done now; shown, disabled. */
  reason?: string | null;
}

let lists: (readonly PaletteAction[])[] = [];
let snapshot: readonly PaletteAction[] = [];
const listeners = new Set<() => void>();

function set(next: (readonly PaletteAction[])[]) {
  lists = next;
  snapshot = lists.toReversed().flat();
  for (const listener of listeners) listener();
}

export const paletteActions = {
  add(list: readonly PaletteAction[]) {
    set([...lists, list]);
    return () => set(lists.filter((other) => other !== list));
  },
  /** Of the innermost component first. */
  all: () => snapshot,
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};
