/** The whole picture as one file: no stylesheet, no page around it. Pure. */
import { absolute, type Drawn, type DrawnEdge, type DrawnNode, type Layout } from "./model";

const ROUND = 8;

/** A line through points with round corners. */
export function roundedPath(points: readonly (readonly [number, number])[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  const parts = [`M${first[0]} ${first[1]}`];
  rest.forEach((point, index) => {
    const before = points[index];
    const after = rest[index + 1];
    if (after === undefined || before === undefined) {
      parts.push(`L${point[0]} ${point[1]}`);
      return;
    }
    const [ax, ay] = towards(point, before);
    const [bx, by] = towards(point, after);
    parts.push(`L${ax} ${ay}Q${point[0]} ${point[1]} ${bx} ${by}`);
  });
  return parts.join("");
}

function towards(from: readonly [number, number], to: readonly [number, number]): [number, number] {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const part = length === 0 ? 0 : Math.min(ROUND, length / 2) / length;
  return [round(from[0] + (to[0] - from[0]) * part), round(from[1] + (to[1] - from[1]) * part)];
}

const round = (n: number) => Math.round(n * 100) / 100;
const escape = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export interface Ink {
  body: string;
  panel: string;
  line: string;
  muted: string;
  text: string;
  /** The bar at the left of a box; null for none. */
  colour: (node: DrawnNode) => string | null;
  /** Below the name. */
  detail: (node: DrawnNode) => string;
  edge: (edge: DrawnEdge) => string | null;
}

const MARGIN = 24;
const CHARACTER = 7.4;

const cut = (text: string, width: number) => {
  const fits = Math.max(3, Math.floor(width / CHARACTER));
  return text.length <= fits ? text : `${text.slice(0, fits - 1)}…`;
};

export function toSvg(drawn: Drawn, layout: Layout, title: string, ink: Ink): string {
  const places = absolute(drawn, layout);
  const width = Math.ceil(layout.width + 2 * MARGIN);
  const height = Math.ceil(layout.height + 2 * MARGIN);
  const boxes = (kind: "group" | "other") =>
    drawn.nodes
      .filter((node) => (node.kind === "group") === (kind === "group"))
      .flatMap((node) => {
        const at = places.get(node.id);
        if (at === undefined) return [];
        const { x, y } = at;
        const fill = kind === "group" ? ink.panel : ink.body;
        const colour = ink.colour(node);
        return [
          `<rect x="${x}" y="${y}" width="${at.width}" height="${at.height}" rx="6" fill="${fill}" stroke="${ink.line}"/>`,
          ...(colour === null || kind === "group"
            ? []
            : [`<rect x="${x}" y="${y}" width="5" height="${at.height}" rx="2.5" fill="${colour}"/>`]),
          `<text x="${x + 14}" y="${y + 24}" font-weight="600" fill="${ink.text}">${escape(cut(node.label, at.width - 24))}</text>`,
          ...(kind === "group"
            ? []
            : [
                `<text x="${x + 14}" y="${y + 44}" font-size="12" fill="${ink.muted}">${escape(cut(ink.detail(node), at.width - 10))}</text>`,
              ]),
        ];
      });
  const edges = drawn.edges.flatMap((edge) => {
    const from = places.get(edge.source);
    const to = places.get(edge.target);
    if (from === undefined || to === undefined) return [];
    const way = layout.edges[edge.id];
    const points: [number, number][] = way?.points ?? [
      [from.x + from.width, from.y + from.height / 2],
      [to.x, to.y + to.height / 2],
    ];
    const text = ink.edge(edge);
    const [first, last] = [points[0], points.at(-1)];
    if (first === undefined || last === undefined) return [];
    const [x, y] = way?.label ?? [(first[0] + last[0]) / 2, (first[1] + last[1]) / 2];
    return [
      `<path d="${roundedPath(points)}" fill="none" stroke="${ink.muted}" stroke-width="1.2" marker-end="url(#arrow)"/>`,
      ...(text === null
        ? []
        : [
            `<text x="${x}" y="${y}" font-size="11" text-anchor="middle" dominant-baseline="central" fill="${ink.muted}" stroke="${ink.body}" stroke-width="4" paint-order="stroke">${escape(text)}</text>`,
          ]),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="${-MARGIN} ${-MARGIN} ${width} ${height}" font-family="system-ui, sans-serif" font-size="14">`,
    `<title>${escape(title)}</title>`,
    `<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M1 1 9 5 1 9" fill="none" stroke="${ink.muted}"/></marker></defs>`,
    `<rect x="${-MARGIN}" y="${-MARGIN}" width="${width}" height="${height}" fill="${ink.body}"/>`,
    ...boxes("group"),
    ...edges,
    ...boxes("other"),
    `</svg>`,
  ].join("\n");
}
