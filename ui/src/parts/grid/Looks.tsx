import { useSyncExternalStore } from "react";

import { LOOKS, type Look } from "../../lib/states";

const svg = (path: string, colour: string) =>
  `url("data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 12 12" fill="none" stroke="${colour}" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"><path d="${path}"/></svg>`,
  )}")`;

const background: Record<Look["fill"], string> = {
  solid: "var(--c)",
  outline: "transparent",
  half: "linear-gradient(to top, color-mix(in srgb, var(--c) 40%, transparent) 50%, transparent 50%)",
  hatch: "repeating-linear-gradient(45deg, color-mix(in srgb, var(--c) 34%, transparent) 0 2px, transparent 2px 4px)",
  dashed: "transparent",
};

/** What starts a run. */
const TYPES: Record<string, string> = {
  scheduled: "M6 3.2V6l1.9 1.3M6 1.6a4.4 4.4 0 1 1 0 8.8 4.4 4.4 0 0 1 0-8.8",
  manual: "M4.2 3v6l4.8-3z",
  backfill: "M9.5 9.5v-3a2 2 0 0 0-2-2H2.8M5 2.2 2.6 4.5 5 6.8",
  operator_triggered: "M2.5 6h6M6 3.2 8.8 6 6 8.8",
  asset_triggered: "M6 1.8 10 6l-4 4.2L2 6z",
  asset_materialization: "M6 1.8 10 6l-4 4.2L2 6zM6 4.4v3.2",
};

/** What went well is quiet, so its glyph is in the colour of the text; so is that of what was left out. */
const QUIET: Record<string, string> = { success: "--mantine-color-text", skipped: "--muted", none: "--muted" };

/** `colour` gives the value of a token of the theme that is shown. */
function rulesOf(colour: (token: string) => string): string {
  return [
    ...Object.entries(LOOKS).map(([state, { family, fill, glyph }]) => {
      const on = fill === "solid" ? `--state-on-${family}` : `--state-${family}`;
      const variables = [
        `--c:var(--state-${family})`,
        `--on:var(${on})`,
        `--fill:${background[fill]}`,
        `--edge:${fill === "dashed" ? "dashed" : "solid"}`,
        `--glyph:${svg(glyph, "#000")}`,
        `--drawn:${svg(glyph, colour(QUIET[state] ?? on))}`,
      ];
      return `[data-s="${state}"]{${variables.join(";")}}`;
    }),
    ...Object.entries(TYPES).map(([type, glyph]) => `[data-type="${type}"]{--type:${svg(glyph, "#000")}}`),
  ].join("\n");
}

const themeOf = () => {
  const root = document.documentElement;
  return `${root.getAttribute("data-mantine-color-scheme") ?? ""} ${root.getAttribute("data-contrast") ?? ""}`.trim();
};

function subscribe(listener: () => void) {
  const observer = new MutationObserver(listener);
  observer.observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["data-mantine-color-scheme", "data-contrast"],
  });
  return () => observer.disconnect();
}

const made = new Map<string, string>();

function sheetOf(theme: string): string {
  let sheet = made.get(theme);
  if (sheet === undefined) {
    const style = getComputedStyle(document.documentElement);
    sheet = rulesOf((token) => style.getPropertyValue(token).trim() || "#000");
    made.set(theme, sheet);
  }
  return sheet;
}

/**
 * Variables for elements with `data-s` (a state) or `data-type` (of a run): colours, fill, edge, and the glyph twice: `--glyph` as a
 * mask of any colour, and `--drawn` in its own. A mask costs a layer for each element, a picture does not: thousands take the picture.
 */
export function Looks() {
  const theme = useSyncExternalStore(subscribe, themeOf);
  return <style>{sheetOf(theme)}</style>;
}
