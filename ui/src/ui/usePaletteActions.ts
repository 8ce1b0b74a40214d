/** Adds actions to the command palette while the component is shown. See `lib/actions.ts`. */
import { useEffect, useRef } from "react";

import { paletteActions, type PaletteAction } from "../lib/actions";

/** The newest `run`s are called; only what the palette shows registers anew. */
export function usePaletteActions(wanted: PaletteAction[]) {
  const newest = useRef(wanted);
  useEffect(() => {
    newest.current = wanted;
  });
  const shape = JSON.stringify(wanted.map(({ run, ...shown }) => ({ ...shown, runs: run !== undefined })));
  useEffect(() => {
    const shown = JSON.parse(shape) as (PaletteAction & { runs: boolean })[];
    return paletteActions.add(
      shown.map(({ runs, ...action }, index) =>
        runs ? Object.assign(action, { run: () => newest.current[index]?.run?.() }) : action,
      ),
    );
  }, [shape]);
}
