/** `useHotkeys(title, [{ keys: "n", label: strings.x.nextFailure, run }])`: shortcuts while the component is shown. See `lib/hotkeys.ts`. */
import { useEffect, useRef } from "react";

import { hotkeys, type Hotkey } from "../lib/hotkeys";

/** `title` is the heading in the `?` sheet. The newest `run`s are called; only changed keys or labels register anew. */
export function useHotkeys(title: string, wanted: Hotkey[]) {
  const newest = useRef(wanted);
  useEffect(() => {
    newest.current = wanted;
  });
  const shape = JSON.stringify(wanted.map(({ keys, label, always }) => ({ keys, label, always })));
  useEffect(() => {
    const shown = JSON.parse(shape) as Omit<Hotkey, "run">[];
    return hotkeys.add({
      title,
      hotkeys: shown.map((hotkey, index) => ({ ...hotkey, run: (event) => newest.current[index]?.run(event) })),
    });
  }, [title, shape]);
}
