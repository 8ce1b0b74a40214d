import { useReactFlow, useStore, useStoreApi } from "@xyflow/react";
import { useEffect, useRef, type PointerEvent } from "react";

import type { Drawn, DrawnNode, Layout, Placed } from "../../lib/graph/model";
import type { Family } from "../../lib/states";
import { strings } from "../../lib/strings";
import { useColours } from "./colours";
import classes from "./graph.module.css";
import { fill, worstLast } from "./Overview";

const SIZE = { width: 168, height: 108 } as const;

interface Props {
  drawn: Drawn;
  layout: Layout;
  places: ReadonlyMap<string, Placed>;
  paint: (node: DrawnNode) => { family: Family; share: number }[];
}

/** Where one is in the whole; a press or a drag goes there. Painted, not made of elements. */
export function MiniMap({ drawn, layout, places, paint }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = useColours();
  const { setViewport } = useReactFlow();
  const store = useStoreApi();
  const [x, y, zoom] = useStore((state) => state.transform);
  const width = useStore((state) => state.width);
  const height = useStore((state) => state.height);
  const scale = Math.min(SIZE.width / Math.max(layout.width, 1), SIZE.height / Math.max(layout.height, 1));
  const left = (SIZE.width - layout.width * scale) / 2;
  const top = (SIZE.height - layout.height * scale) / 2;

  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const ratio = window.devicePixelRatio || 1;
    element.width = SIZE.width * ratio;
    element.height = SIZE.height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, SIZE.width, SIZE.height);
    for (const node of [...drawn.nodes.filter(({ kind }) => kind === "group"), ...worstLast(drawn, paint)]) {
      const at = places.get(node.id);
      if (at === undefined) continue;
      const b = { x: left + at.x * scale, y: top + at.y * scale, width: at.width * scale, height: at.height * scale };
      if (node.kind === "group") {
        context.strokeStyle = colours.line;
        context.strokeRect(b.x, b.y, b.width, b.height);
      } else fill(context, b, paint(node), colours);
    }
  }, [drawn, places, paint, colours, left, top, scale]);

  const go = (event: PointerEvent<HTMLElement>) => {
    if (event.buttons === 0) return;
    const frame = event.currentTarget.getBoundingClientRect();
    const state = store.getState();
    const at = {
      x: (event.clientX - frame.left - left) / scale,
      y: (event.clientY - frame.top - top) / scale,
    };
    const now = state.transform[2];
    void setViewport({ x: state.width / 2 - at.x * now, y: state.height / 2 - at.y * now, zoom: now });
  };
  // Everything is in sight: nothing to find one's way in.
  const everything =
    x >= -1 && y >= -1 && x + layout.width * zoom <= width + 1 && y + layout.height * zoom <= height + 1;
  if (everything) return null;
  const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  const from = { x: clamp(left - (x / zoom) * scale, SIZE.width), y: clamp(top - (y / zoom) * scale, SIZE.height) };
  const to = {
    x: clamp(left + ((width - x) / zoom) * scale, SIZE.width),
    y: clamp(top + ((height - y) / zoom) * scale, SIZE.height),
  };
  return (
    <div
      className={`${classes.map} nopan nowheel`}
      role="img"
      aria-label={strings.graph.map}
      onPointerDown={go}
      onPointerMove={go}
    >
      <canvas ref={canvas} style={SIZE} />
      <div
        className={classes.window}
        style={{ left: from.x, top: from.y, width: Math.max(to.x - from.x, 3), height: Math.max(to.y - from.y, 3) }}
      />
    </div>
  );
}
