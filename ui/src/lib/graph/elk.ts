/** To ELK's graph and back. ELK itself runs in a worker. */
import type { Drawn, DrawnNode, Layout, Placed, Way } from "./model";

interface Point {
  x: number;
  y: number;
}

export interface ElkEdge {
  id: string;
  sources: string[];
  targets: string[];
  labels?: { text: string; width: number; height: number; x?: number; y?: number }[];
  sections?: { startPoint: Point; endPoint: Point; bendPoints?: Point[] }[];
}

export interface ElkNode {
  id: string;
  width?: number;
  height?: number;
  x?: number;
  y?: number;
  children?: ElkNode[];
  layoutOptions?: Record<string, string>;
  edges?: ElkEdge[];
}

/** More than this is never given to ELK: it would take longer than anybody waits. */
export const ELK_UP_TO = { nodes: 1_200, edges: 4_000 } as const;
/** And it has so long for the rest. */
export const ELK_MS = 4_000;

const CHARACTER = 6.4;

export const suitsElk = ({ nodes, edges }: Drawn) => nodes.length <= ELK_UP_TO.nodes && edges.length <= ELK_UP_TO.edges;

export function toElk(drawn: Drawn): ElkNode {
  const children = new Map<string | null, DrawnNode[]>();
  for (const node of drawn.nodes) {
    const list = children.get(node.parent);
    if (list === undefined) children.set(node.parent, [node]);
    else list.push(node);
  }
  const inside = (group: string | null): ElkNode[] =>
    (children.get(group) ?? []).map((node) =>
      node.kind === "group"
        ? {
            id: node.id,
            children: inside(node.id),
            layoutOptions: {
              "elk.padding": "[top=40,left=16,bottom=16,right=16]",
              "elk.nodeSize.constraints": "MINIMUM_SIZE",
              "elk.nodeSize.minimum": `(${node.width},${node.height})`,
            },
          }
        : { id: node.id, width: node.width, height: node.height },
    );
  return {
    id: "root",
    children: inside(null),
    edges: drawn.edges.map(({ id, source, target, label, rule }) => {
      const text = label ?? rule;
      return {
        id,
        sources: [source],
        targets: [target],
        ...(text === null ? {} : { labels: [{ text, width: text.length * CHARACTER + 12, height: 18 }] }),
      };
    }),
    layoutOptions: {
      "elk.algorithm": "layered",
      "elk.direction": "RIGHT",
      "elk.hierarchyHandling": "INCLUDE_CHILDREN",
      "elk.layered.spacing.nodeNodeBetweenLayers": "64",
      "elk.spacing.nodeNode": "24",
      "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
      "elk.layered.nodePlacement.strategy": "BRANDES_KOEPF",
      "elk.layered.nodePlacement.bk.fixedAlignment": "BALANCED",
      "elk.separateConnectedComponents": "true",
      "elk.edgeLabels.inline": "true",
      // Ways from the corner of the whole picture, not of some group.
      "elk.json.edgeCoords": "ROOT",
    },
  };
}

export function fromElk(root: ElkNode): Layout {
  const nodes: Record<string, Placed> = {};
  const walk = (list: ElkNode[]) => {
    for (const { id, x = 0, y = 0, width = 0, height = 0, children } of list) {
      nodes[id] = { x, y, width, height };
      if (children !== undefined) walk(children);
    }
  };
  walk(root.children ?? []);
  const edges: Record<string, Way> = {};
  for (const { id, sections, labels } of root.edges ?? []) {
    const section = sections?.[0];
    if (section === undefined) continue;
    const points = [section.startPoint, ...(section.bendPoints ?? []), section.endPoint].map(
      ({ x, y }): [number, number] => [x, y],
    );
    const label = labels?.[0];
    const x = label?.x === undefined ? null : label.x + label.width / 2;
    edges[id] = { points, label: x === null ? null : [x, heightAt(points, x) ?? (label?.y ?? 0) + 9] };
  }
  return { nodes, edges, width: root.width ?? 0, height: root.height ?? 0, by: "elk" };
}

/** How high a line is at a place, so that its words lie on it. */
function heightAt(points: [number, number][], x: number): number | null {
  for (let index = 1; index < points.length; index++) {
    const [from, to] = [points[index - 1], points[index]];
    if (from === undefined || to === undefined || Math.abs(from[1] - to[1]) > 0.5) continue;
    if (Math.min(from[0], to[0]) <= x && x <= Math.max(from[0], to[0])) return from[1];
  }
  return null;
}
