import "@xyflow/react/dist/base.css";

import {
  Handle,
  Position,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
  useStore,
  useStoreApi,
  getBezierPath,
  type Edge,
  type EdgeProps,
  type Node,
  type NodeProps,
} from "@xyflow/react";
import {
  createContext,
  memo,
  useContext,
  useEffect,
  useImperativeHandle,
  useMemo,
  useRef,
  type ReactNode,
  type Ref,
} from "react";

import {
  absolute,
  type Drawn,
  type DrawnEdge,
  type DrawnNode,
  type Layout,
  type Placed,
  type Way,
} from "../../lib/graph/model";
import { roundedPath } from "../../lib/graph/svg";
import type { Family } from "../../lib/states";
import { strings } from "../../lib/strings";
import classes from "./graph.module.css";
import { MiniMap } from "./MiniMap";
import { Overview } from "./Overview";

/** Below this, boxes are painted on a canvas and nothing is an element: any number of them. */
export const FAR = 0.4;
/** Below this, an element says its name and nothing else. */
const MID = 0.66;
const ZOOM = { min: 0.01, max: 1.8, read: 0.9 } as const;

export interface GraphHandle {
  /** Brings a node into the middle, large enough to read. */
  show: (id: string) => void;
  fit: () => void;
  zoom: (factor: number) => void;
}

interface Props {
  label: string;
  drawn: Drawn;
  layout: Layout;
  /** What it opens at, and comes back to when the picture becomes another one. */
  focus: string | null;
  /** Ids that were searched for; the rest steps back. Null: nothing is searched. */
  matches: ReadonlySet<string> | null;
  /** The colours of a box from far away, with how much of it each takes. */
  paint: (node: DrawnNode) => { family: Family; share: number }[];
  render: (node: DrawnNode) => ReactNode;
  ref?: Ref<GraphHandle>;
  children?: ReactNode;
}

/** What boxes and edges read; only those in sight are rendered. */
const Shown = createContext<{
  render: Props["render"];
  matches: Props["matches"];
}>({ render: () => null, matches: null });

type BoxNode = Node<{ drawn: DrawnNode }, "box">;
type WayEdge = Edge<{ drawn: DrawnEdge; way: Way | null }, "way">;

const Box = memo(function Box({ data: { drawn } }: NodeProps<BoxNode>) {
  const { render, matches } = useContext(Shown);
  return (
    <div className={classes.box} data-kind={drawn.kind} data-dim={matches !== null && !matches.has(drawn.id)}>
      <Handle type="target" position={Position.Left} className={classes.handle} isConnectable={false} />
      {render(drawn)}
      <Handle type="source" position={Position.Right} className={classes.handle} isConnectable={false} />
    </div>
  );
});

const WayLine = memo(function WayLine({ data, ...at }: EdgeProps<WayEdge>) {
  const way = data?.way ?? null;
  const [curve, x, y] = getBezierPath(at);
  const text = data === undefined ? null : edgeText(data.drawn);
  const [labelX, labelY] = way?.label ?? [x, y];
  return (
    <g className={classes.edge} data-rule={data?.drawn.rule !== null} data-straight={way === null}>
      <path d={way === null ? curve : roundedPath(way.points)} markerEnd="url(#graph-arrow)" />
      {text !== null && (
        <g transform={`translate(${labelX} ${labelY})`}>
          <rect x={-(text.length * 6.4 + 12) / 2} y={-9} width={text.length * 6.4 + 12} height={18} rx={4} />
          <text textAnchor="middle" dominantBaseline="central">
            {text}
          </text>
        </g>
      )}
    </g>
  );
});

/** The words on an edge: the author's, else the rule when it is not the usual one. */
export const edgeText = ({ label, rule }: DrawnEdge) =>
  label ?? (rule === null ? null : (strings.graph.rules[rule] ?? rule));

const nodeTypes = { box: Box };
const edgeTypes = { way: WayLine };
const NO_NODES: BoxNode[] = [];
const NO_EDGES: WayEdge[] = [];

export function GraphView(props: Props) {
  return (
    <ReactFlowProvider>
      <Flow {...props} />
    </ReactFlowProvider>
  );
}

/** More than this, and xyflow is given only what is around the window: it looks at all that it has with every change. */
const ALL_UP_TO = 400;

interface View {
  transform: [x: number, y: number, zoom: number];
  width: number;
  height: number;
}

/** The part of the picture around the window, as text; the same while one moves a little. */
function windowOf({ transform: [x, y, zoom], width, height }: View): string {
  // In steps, so that a small move or a little more zoom asks for nothing new.
  const scale = 2 ** (Math.floor(Math.log2(zoom) * 2) / 2);
  const [w, h] = [width / scale, height / scale];
  const left = Math.floor(-x / zoom / (w / 2)) * (w / 2);
  const top = Math.floor(-y / zoom / (h / 2)) * (h / 2);
  return [left - w / 2, top - h / 2, left + 2 * w, top + 2 * h].map(Math.round).join(" ");
}

type Shapes = ReturnType<typeof flow>;

function within(all: Shapes, places: ReadonlyMap<string, Placed>, window: string): Shapes {
  const [left = 0, top = 0, right = 0, bottom = 0] = window.split(" ").map(Number);
  const wanted = new Set<string>();
  for (const { id, position, width = 0, height = 0 } of all.nodes) {
    if (position.x < right && position.x + width > left && position.y < bottom && position.y + height > top)
      wanted.add(id);
  }
  const inside = new Set(wanted);
  const edges = all.edges.filter(({ source, target }) => {
    if (!inside.has(source) && !inside.has(target)) {
      // A long one may pass through.
      const [from, to] = [places.get(source), places.get(target)];
      if (from === undefined || to === undefined) return false;
      if (Math.min(from.x, to.x) > right || Math.max(from.x + from.width, to.x + to.width) < left) return false;
      if (Math.min(from.y, to.y) > bottom || Math.max(from.y + from.height, to.y + to.height) < top) return false;
    }
    // xyflow draws an edge only if it has both of its ends.
    wanted.add(source);
    wanted.add(target);
    return true;
  });
  return { nodes: all.nodes.filter(({ id }) => wanted.has(id)), edges };
}

type Level = "far" | "mid" | "near";
const levelOf = (zoom: number): Level => (zoom < FAR ? "far" : zoom < MID ? "mid" : "near");

function Flow({ label, drawn, layout, focus, matches, paint, render, ref, children }: Props) {
  const places = useMemo(() => absolute(drawn, layout), [drawn, layout]);
  const all = useMemo(() => flow(drawn, layout, places), [drawn, layout, places]);
  const level = useStore((state) => levelOf(state.transform[2]));
  const window = useStore((state) => (all.nodes.length <= ALL_UP_TO ? "" : windowOf(state)));
  const near = useMemo(() => (window === "" ? all : within(all, places, window)), [all, places, window]);
  const { setViewport } = useReactFlow();
  const store = useStoreApi();
  const opened = useRef<Layout | null>(null);

  const centre = (box: Placed, zoom: number) => {
    const { width, height } = store.getState();
    void setViewport({
      x: width / 2 - (box.x + box.width / 2) * zoom,
      y: height / 2 - (box.y + box.height / 2) * zoom,
      zoom,
    });
  };
  const whole = (least: number): boolean => {
    const { width, height } = store.getState();
    const zoom = Math.min((width - 32) / Math.max(layout.width, 1), (height - 32) / Math.max(layout.height, 1), 1);
    if (zoom < least) return false;
    centre({ x: 0, y: 0, width: layout.width, height: layout.height }, Math.max(zoom, ZOOM.min));
    return true;
  };
  const show = (id: string) => {
    const box = places.get(id);
    if (box !== undefined) centre(box, Math.max(store.getState().transform[2], ZOOM.read));
  };
  const open = () => {
    if (whole(MID)) return;
    const wanted = focus === null ? undefined : places.get(focus);
    if (wanted !== undefined) {
      centre(wanted, ZOOM.read);
      return;
    }
    // Nothing to look at first: where it begins, at the left.
    const first = places.get(drawn.nodes[0]?.id ?? "");
    const { height } = store.getState();
    if (first !== undefined)
      void setViewport({
        x: 32 - first.x * ZOOM.read,
        y: height / 2 - (first.y + first.height / 2) * ZOOM.read,
        zoom: ZOOM.read,
      });
  };

  const isSized = useStore((state) => state.width > 0 && state.height > 0);
  useEffect(() => {
    // Once for each picture: a change of a state, or of what is focused, moves nothing.
    if (!isSized || opened.current === layout) return;
    const again = opened.current !== null;
    opened.current = layout;
    if (!again || focus === null) open();
    else show(focus);
  });
  useImperativeHandle(ref, () => ({
    show,
    fit: () => void whole(0),
    zoom: (factor) => {
      const { width, height, transform } = store.getState();
      const zoom = Math.min(Math.max(transform[2] * factor, ZOOM.min), ZOOM.max);
      const [x, y, old] = transform;
      const [cx, cy] = [(width / 2 - x) / old, (height / 2 - y) / old];
      void setViewport({ x: width / 2 - cx * zoom, y: height / 2 - cy * zoom, zoom });
    },
  }));

  const far = level === "far";
  return (
    <div className={classes.graph} data-level={level} role="group" aria-label={label}>
      <Shown value={useMemo(() => ({ render, matches }), [render, matches])}>
        <ReactFlow<BoxNode, WayEdge>
          nodes={far ? NO_NODES : near.nodes}
          edges={far ? NO_EDGES : near.edges}
          nodeTypes={nodeTypes}
          edgeTypes={edgeTypes}
          onlyRenderVisibleElements
          nodesDraggable={false}
          nodesConnectable={false}
          nodesFocusable={false}
          edgesFocusable={false}
          elementsSelectable={false}
          disableKeyboardA11y
          zoomOnDoubleClick={false}
          minZoom={ZOOM.min}
          maxZoom={ZOOM.max}
          attributionPosition="top-right"
          onPaneClick={(event) => {
            if (!far) return;
            // From far away a click goes nearer.
            const { transform, domNode } = store.getState();
            const frame = domNode?.getBoundingClientRect();
            if (frame === undefined) return;
            const [x, y, zoom] = transform;
            const at = { x: (event.clientX - frame.left - x) / zoom, y: (event.clientY - frame.top - y) / zoom };
            centre({ ...at, width: 0, height: 0 }, ZOOM.read);
          }}
        >
          <svg className={classes.defs} aria-hidden="true">
            <defs>
              <marker
                id="graph-arrow"
                viewBox="0 0 10 10"
                refX="9"
                refY="5"
                markerWidth="7"
                markerHeight="7"
                orient="auto-start-reverse"
              >
                <path d="M1 1 9 5 1 9" className={classes.arrow} />
              </marker>
            </defs>
          </svg>
          {far && <Overview drawn={drawn} places={places} paint={paint} matches={matches} />}
          <MiniMap drawn={drawn} layout={layout} places={places} paint={paint} />
        </ReactFlow>
      </Shown>
      {children}
    </div>
  );
}

function flow(drawn: Drawn, layout: Layout, places: Map<string, Placed>): { nodes: BoxNode[]; edges: WayEdge[] } {
  const nodes = drawn.nodes.flatMap((node): BoxNode[] => {
    const at = places.get(node.id);
    if (at === undefined) return [];
    const { x, y, width, height } = at;
    return [
      {
        id: node.id,
        type: "box",
        position: { x, y },
        width,
        height,
        measured: { width, height },
        // Known without a look at the document, so that edges of boxes out of sight are drawn too.
        handles: [
          { type: "target", position: Position.Left, x: 0, y: height / 2, width: 1, height: 1 },
          { type: "source", position: Position.Right, x: width - 1, y: height / 2, width: 1, height: 1 },
        ],
        zIndex: node.kind === "group" ? 0 : 2,
        data: { drawn: node },
      },
    ];
  });
  const edges = drawn.edges.flatMap((edge): WayEdge[] =>
    places.has(edge.source) && places.has(edge.target)
      ? [
          {
            id: edge.id,
            type: "way",
            source: edge.source,
            target: edge.target,
            zIndex: 1,
            data: { drawn: edge, way: layout.edges[edge.id] ?? null },
          },
        ]
      : [],
  );
  return { nodes, edges };
}
