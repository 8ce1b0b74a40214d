/** Colours of a terminal as classes: never as HTML. */
import Anser from "anser";

export interface Span {
  text: string;
  /** `ansi-red`, `ansi-bright-blue`, `ansi-bold`…, separated by spaces; empty for plain text. */
  className: string;
  /** A colour of the 256 or the true ones: `r, g, b`. */
  color: string | null;
}

const HAS_ESCAPE = /\u001b/; // oxlint-disable-line no-control-regex -- what terminals interpret
// oxlint-disable-next-line no-control-regex -- control characters are what this removes
const NOT_COLOURS = /\u001b(?:\[[0-?]*[ -/]*[@-ln-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\^_])/g;

/** What a progress bar overwrote by a carriage return was only seen while it ran. */
const overwritten = (text: string) => (text.includes("\r") ? (text.trimEnd().split("\r").at(-1) ?? text) : text);

export function spans(event: string): Span[] {
  const text = overwritten(event);
  if (!HAS_ESCAPE.test(text)) return [{ text, className: "", color: null }];
  const parts = Anser.ansiToJson(text.replace(NOT_COLOURS, ""), { json: true, use_classes: true, remove_empty: true });
  return parts.map((part) => {
    const decorations = (part.decorations ?? []).map((name) => `ansi-${name}`);
    const isNamed = part.fg?.startsWith("ansi-") && !part.fg.startsWith("ansi-palette") && part.fg !== "ansi-truecolor";
    const classes = [isNamed ? part.fg : null, part.bg?.startsWith("ansi-") ? `${part.bg}-bg` : null, ...decorations];
    return {
      text: part.content,
      className: classes.filter(Boolean).join(" "),
      color: part.fg === "ansi-truecolor" ? (part.fg_truecolor ?? null) : paletteColor(part.fg),
    };
  });
}

/** The 6 × 6 × 6 cube and the greys of the 256 colours. */
function paletteColor(name: string | null | undefined): string | null {
  const index = Number(/^ansi-palette-(\d+)$/.exec(name ?? "")?.[1] ?? Number.NaN);
  if (Number.isNaN(index) || index < 16) return null;
  if (index >= 232) return Array.from({ length: 3 }, () => (index - 232) * 10 + 8).join(", ");
  const step = (n: number) => (n === 0 ? 0 : 55 + n * 40);
  const cube = index - 16;
  return [step(Math.floor(cube / 36)), step(Math.floor(cube / 6) % 6), step(cube % 6)].join(", ");
}

/** Cuts spans so that what `find` matches is spans of its own. */
export function marked(all: Span[], find: RegExp | null): (Span & { hit: boolean })[] {
  if (find === null) return all.map((span) => ({ ...span, hit: false }));
  const whole = all.map((span) => span.text).join("");
  const hits = [...whole.matchAll(find)]
    .filter((hit) => hit[0] !== "")
    .map((hit) => [hit.index, hit.index + hit[0].length] as const);
  if (hits.length === 0) return all.map((span) => ({ ...span, hit: false }));
  const cut: (Span & { hit: boolean })[] = [];
  let at = 0;
  for (const span of all) {
    const end = at + span.text.length;
    let from = at;
    for (const [begin, stop] of hits) {
      if (stop <= from || begin >= end) continue;
      if (begin > from) cut.push({ ...span, text: whole.slice(from, begin), hit: false });
      const to = Math.min(stop, end);
      cut.push({ ...span, text: whole.slice(Math.max(begin, from), to), hit: true });
      from = to;
    }
    if (from < end) cut.push({ ...span, text: whole.slice(from, end), hit: false });
    at = end;
  }
  return cut;
}
