/** How a state looks: its family gives the hue, fill and glyph tell the members of a family apart, the word says it. */
import type { StateWord } from "./strings";

export type Family = "good" | "bad" | "moving" | "retrying" | "human" | "idle";
export type Fill = "solid" | "outline" | "half" | "hatch" | "dashed";

export interface Look {
  family: Family;
  fill: Fill;
  /** Path data in a 12 × 12 box, stroked. */
  glyph: string;
}

const GLYPHS = {
  check: "M3 6.4 5.2 8.6 9.2 3.8",
  hop: "M2.5 7.5c1-3.5 6-3.5 7 0M9.5 7.5V4.8M9.5 7.5H6.8",
  cross: "M3.4 3.4l5.2 5.2M8.6 3.4 3.4 8.6",
  up: "M6 9.5v-7M3.2 5.3 6 2.5l2.8 2.8",
  play: "M4.2 3v6l4.8-3z",
  again: "M9 6.2a3 3 0 1 1-1-2.3M8.8 2v2.4H6.4",
  back: "M3 6.2a3 3 0 1 0 1-2.3M3.2 2v2.4h2.4",
  clock: "M6 3.4V6l1.8 1.2M6 1.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4",
  glass: "M4 2.5h4M4 9.5h4M4.3 2.5c0 2.4 3.4 4.6 3.4 7M7.7 2.5c0 2.4-3.4 4.6-3.4 7",
  dots: "M3 6h.01M6 6h.01M9 6h.01",
  moon: "M8.8 7.4A3.6 3.6 0 0 1 4.9 2.8 3.7 3.7 0 1 0 8.8 7.4z",
  hand: "M4 6.5V3.2M6 6V2.4M8 6.5V3.2M3.4 6.4c0 4 5.2 4 5.2 0",
  slash: "M3.2 8.8l5.6-5.6",
  dot: "M6 6h.01",
} as const;

export const LOOKS: Record<StateWord, Look> = {
  success: { family: "good", fill: "solid", glyph: GLYPHS.check },
  skipped: { family: "good", fill: "outline", glyph: GLYPHS.hop },
  failed: { family: "bad", fill: "solid", glyph: GLYPHS.cross },
  upstream_failed: { family: "bad", fill: "hatch", glyph: GLYPHS.up },
  running: { family: "moving", fill: "solid", glyph: GLYPHS.play },
  restarting: { family: "moving", fill: "half", glyph: GLYPHS.again },
  up_for_retry: { family: "retrying", fill: "solid", glyph: GLYPHS.back },
  up_for_reschedule: { family: "retrying", fill: "outline", glyph: GLYPHS.glass },
  awaiting_input: { family: "human", fill: "solid", glyph: GLYPHS.hand },
  scheduled: { family: "idle", fill: "outline", glyph: GLYPHS.clock },
  queued: { family: "idle", fill: "half", glyph: GLYPHS.dots },
  deferred: { family: "idle", fill: "outline", glyph: GLYPHS.moon },
  removed: { family: "idle", fill: "dashed", glyph: GLYPHS.slash },
  none: { family: "idle", fill: "dashed", glyph: GLYPHS.dot },
};

/** The API says `null` for a task about which nothing is decided yet; a word of a newer server is shown as that too. */
export function stateWord(state: string | null): StateWord {
  return state !== null && Object.hasOwn(LOOKS, state) ? (state as StateWord) : "none";
}

const FINISHED: ReadonlySet<StateWord> = new Set(["success", "skipped", "failed", "upstream_failed", "removed"]);
const RUNNING: ReadonlySet<StateWord> = new Set(["running", "restarting"]);

/** Nothing happens to it by itself any more. */
export const isFinished = (state: string | null) => FINISHED.has(stateWord(state));

/** Neither finished nor running: there is a reason to ask for. */
export const isWaiting = (state: string | null) => !isFinished(state) && !RUNNING.has(stateWord(state));
