import { LOOKS, type Look } from "../../lib/states";

/** A glyph as a mask: one element can have a mark without having children. */
const mask = (path: string) =>
  `url("data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 12 12" fill="none" stroke="#000" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"><path d="${path}"/></svg>`,
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

const rules = [
  ...Object.entries(LOOKS).map(
    ([state, { family, fill, glyph }]) =>
      `[data-s="${state}"]{--c:var(--state-${family});--on:${
        fill === "solid" ? `var(--state-on-${family})` : `var(--state-${family})`
      };--fill:${background[fill]};--edge:${fill === "dashed" ? "dashed" : "solid"};--glyph:${mask(glyph)}}`,
  ),
  ...Object.entries(TYPES).map(([type, glyph]) => `[data-type="${type}"]{--type:${mask(glyph)}}`),
].join("\n");

/** Variables for elements with `data-s` (a state) or `data-type` (of a run): colours, fill, edge, glyph. One sheet for all of them. */
export const Looks = () => (
  <style href="state-looks" precedence="default">
    {rules}
  </style>
);
