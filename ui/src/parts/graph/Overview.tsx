import { useStore } from "@xyflow/react";
import { useEffect, useRef } from "react";

import type { Drawn, DrawnNode, Placed } from "../../lib/graph/model";
import type { Family } from "../../lib/states";
import { strings } from "../../lib/strings";
import { useColours, type Colours } from "./colours";
import classes from "./graph.module.css";

interface Props {
  drawn: Drawn;
  places: ReadonlyMap<string, Placed>;
  paint: (node: DrawnNode) => { family: Family; share: number }[];
  matches: ReadonlySet<string> | null;
}

/** The picture from far away: groups with their names, tasks as blocks of colour. One canvas, whatever its size. */
export function Overview({ drawn, places, paint, matches }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const x = useStore((state) => state.transform[0]);
  const y = useStore((state) => state.transform[1]);
  const zoom = useStore((state) => state.transform[2]);
  const width = useStore((state) => state.width);
  const height = useStore((state) => state.height);
  const colours = useColours();
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const scale = window.devicePixelRatio || 1;
    element.width = width * scale;
    element.height = height * scale;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const box = (id: string) => {
      const at = places.get(id);
      return at && { x: x + at.x * zoom, y: y + at.y * zoom, width: at.width * zoom, height: at.height * zoom };
    };
    const inSight = (b: Placed) => b.x < width && b.y < height && b.x + b.width > 0 && b.y + b.height > 0;

    for (const node of drawn.nodes) {
      const b = node.kind === "group" ? box(node.id) : undefined;
      if (b === undefined || !inSight(b)) continue;
      context.fillStyle = colours.panel;
      context.fillRect(b.x, b.y, b.width, b.height);
      context.strokeStyle = colours.line;
      context.strokeRect(b.x + 0.5, b.y + 0.5, b.width, b.height);
    }
    context.strokeStyle = colours.line;
    context.beginPath();
    for (const { source, target } of drawn.edges) {
      const from = box(source);
      const to = box(target);
      if (from === undefined || to === undefined || (!inSight(from) && !inSight(to))) continue;
      context.moveTo(from.x + from.width, from.y + from.height / 2);
      context.lineTo(to.x, to.y + to.height / 2);
    }
    context.stroke();
    for (const node of worstLast(drawn, paint)) {
      const b = box(node.id);
      if (b === undefined || !inSight(b)) continue;
      context.globalAlpha = matches !== null && !matches.has(node.id) ? 0.2 : 1;
      fill(context, b, paint(node), colours);
      context.globalAlpha = 1;
    }
    names(context, drawn, box, inSight, colours);
  }, [drawn, places, paint, matches, x, y, zoom, width, height, colours]);
  return <canvas ref={canvas} className={classes.overview} role="img" aria-label={strings.graph.overview} />;
}

/** The boxes in the order in which they are painted: nothing lies on top of what went wrong. */
export function worstLast(drawn: Drawn, paint: Props["paint"]): DrawnNode[] {
  const boxes = drawn.nodes.filter(({ kind }) => kind !== "group");
  const isBad = (node: DrawnNode) => paint(node)[0]?.family === "bad";
  return [...boxes.filter((node) => !isBad(node)), ...boxes.filter(isBad)];
}

/** A block of the colours of what is in it, side by side; those that went wrong come first. */
export function fill(
  context: CanvasRenderingContext2D,
  b: Placed,
  parts: { family: Family; share: number }[],
  colours: Colours,
) {
  const least = 1.5;
  const w = Math.max(b.width, least);
  const h = Math.max(b.height, least);
  let left = b.x;
  for (const { family, share } of parts) {
    context.fillStyle = colours[family];
    // What went wrong is seen from however far away.
    if (family === "bad") context.fillRect(left, b.y, Math.max(w * share, 4), Math.max(h, 4));
    else context.fillRect(left, b.y, w * share, h);
    left += w * share;
  }
  if (parts.length === 0) {
    context.strokeStyle = colours.idle;
    context.strokeRect(b.x, b.y, w, h);
  }
}

/** The names of groups, in a size that can be read, where there is room for them. */
function names(
  context: CanvasRenderingContext2D,
  drawn: Drawn,
  box: (id: string) => Placed | undefined,
  inSight: (b: Placed) => boolean,
  colours: Colours,
) {
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "top";
  for (const node of drawn.nodes) {
    if (node.kind === "task") continue;
    const b = box(node.id);
    if (b === undefined || !inSight(b) || b.width < 36 || b.height < 14) continue;
    const text = `${node.label} · ${strings.graph.tasks(node.tasks.length)}`;
    context.save();
    context.beginPath();
    context.rect(b.x, b.y, b.width, b.height);
    context.clip();
    const width = Math.min(context.measureText(text).width + 8, b.width);
    context.fillStyle = colours.panel;
    context.globalAlpha = 0.85;
    context.fillRect(b.x + 1, b.y + 1, width, 16);
    context.globalAlpha = 1;
    context.fillStyle = colours.text;
    context.fillText(text, b.x + 4, b.y + 3);
    context.restore();
  }
}
