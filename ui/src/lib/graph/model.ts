/**
 * What is drawn of a DAG: its structure with some groups folded. Pure; positions come from `layers.ts` or from ELK, and neither looks at
 * states, so that a change of a state moves nothing.
 */
import type { components } from "../../api/schema";

type Schemas = components["schemas"];
/** What of a node is drawn. */
export type StructureNode = Pick<
  Schemas["StructureNode"],
  "id" | "label" | "kind" | "parent" | "operator" | "trigger_rule" | "is_mapped"
> &
  Partial<Pick<Schemas["StructureNode"], "is_setup" | "is_teardown">>;
/** Edges are between tasks only. */
export type Structure = Omit<Schemas["StructureResponse"], "nodes"> & { nodes: StructureNode[] };

export type DrawnKind = "task" | "group" | "folded";

export interface DrawnNode {
  id: string;
  label: string;
  kind: DrawnKind;
  /** The open group around it. */
  parent: string | null;
  width: number;
  height: number;
  /** The tasks it stands for: itself, or everything in the group. */
  tasks: string[];
  node: StructureNode;
}

export interface DrawnEdge {
  id: string;
  source: string;
  target: string;
  /** What the author wrote on the edge, or the trigger rule when it is not the usual one. */
  label: string | null;
  rule: string | null;
}

export interface Drawn {
  nodes: DrawnNode[];
  edges: DrawnEdge[];
}

export const TASK_SIZE = { width: 232, height: 76 } as const;
export const GROUP_SIZE = { width: 224, height: 72 } as const;
/** An edge into a task with more of them than this carries no words: they would lie on top of each other. */
const LABELLED_INTO = 4;
/** A DAG of more tasks than this opens with its groups folded. */
export const OPEN_UP_TO = 60;

export const isUsual = (rule: string | null) => rule === null || rule === "all_success";

/** Every group, outermost first. */
export const groupsOf = (structure: Structure) => structure.nodes.filter((node) => node.kind === "group");

/** The groups around a node, innermost first. */
export function ancestors(byId: ReadonlyMap<string, StructureNode>, id: string): string[] {
  const found: string[] = [];
  let at = byId.get(id)?.parent ?? null;
  while (at !== null && !found.includes(at)) {
    found.push(at);
    at = byId.get(at)?.parent ?? null;
  }
  return found;
}

export const indexOf = (structure: Structure): Map<string, StructureNode> =>
  new Map(structure.nodes.map((node) => [node.id, node]));

/**
 * The groups that are folded. Without a wish: none in a small DAG; in a large one all, but for those around what is looked at, so that
 * a failure shows.
 */
export function foldedGroups(structure: Structure, wish: string | null, focus: readonly string[]): Set<string> {
  const groups = groupsOf(structure).map((node) => node.id);
  if (wish === "none") return new Set();
  if (wish === "all") return new Set(groups);
  if (wish !== null) {
    const open = new Set(wish.split(","));
    return new Set(groups.filter((id) => !open.has(id)));
  }
  const tasks = structure.nodes.length - groups.length;
  if (tasks <= OPEN_UP_TO) return new Set();
  const byId = indexOf(structure);
  const open = new Set(focus.flatMap((id) => ancestors(byId, id)));
  return new Set(groups.filter((id) => !open.has(id)));
}

/** The wish, as the address says it, after one group was folded or opened. */
export function toggled(structure: Structure, folded: ReadonlySet<string>, id: string): string {
  const open = groupsOf(structure)
    .map((node) => node.id)
    .filter((group) => (group === id ? folded.has(group) : !folded.has(group)));
  const all = groupsOf(structure).length;
  if (open.length === 0) return "all";
  return open.length === all ? "none" : open.join(",");
}

/** What is drawn when these groups are folded: edges end at the outermost folded group around their task. */
export function draw(structure: Structure, folded: ReadonlySet<string>): Drawn {
  const byId = indexOf(structure);
  /** For each node, what stands for it in the picture. */
  const shownAs = new Map<string, string>();
  const tasksOf = new Map<string, string[]>();
  for (const node of structure.nodes) {
    let shown = node.id;
    const around = ancestors(byId, node.id);
    for (const group of around) if (folded.has(group)) shown = group;
    shownAs.set(node.id, shown);
    if (node.kind === "task") {
      for (const id of [node.id, ...around]) {
        const list = tasksOf.get(id);
        if (list === undefined) tasksOf.set(id, [node.id]);
        else list.push(node.id);
      }
    }
  }

  const nodes: DrawnNode[] = [];
  for (const node of structure.nodes) {
    if (shownAs.get(node.id) !== node.id) continue;
    const kind = node.kind === "task" ? "task" : folded.has(node.id) ? "folded" : "group";
    const tasks = tasksOf.get(node.id) ?? [];
    // An open group with nothing in it would be a line: it is drawn like a folded one.
    const drawnKind = kind === "group" && tasks.length === 0 ? "folded" : kind;
    const size = drawnKind === "task" ? TASK_SIZE : GROUP_SIZE;
    nodes.push({ id: node.id, label: node.label, kind: drawnKind, parent: node.parent, ...size, tasks, node });
  }

  const merged = new Map<string, DrawnEdge>();
  const into = new Map<string, number>();
  for (const { source, target, label } of structure.edges) {
    const from = shownAs.get(source);
    const to = shownAs.get(target);
    if (from === undefined || to === undefined || from === to) continue;
    const id = `${from} → ${to}`;
    const rule = byId.get(target)?.trigger_rule ?? null;
    const special = isUsual(rule) ? null : rule;
    const known = merged.get(id);
    if (known === undefined) {
      merged.set(id, { id, source: from, target: to, label, rule: special });
      into.set(to, (into.get(to) ?? 0) + 1);
    } else {
      // Several in one: only what is true of all of them is said.
      if (known.rule !== special) known.rule = null;
      if (known.label !== label) known.label = null;
    }
  }
  const edges = [...merged.values()].map((edge) =>
    (into.get(edge.target) ?? 0) > LABELLED_INTO ? { ...edge, rule: null } : edge,
  );
  return { nodes: parentsFirst(nodes), edges };
}

/** xyflow wants a parent before its children. */
function parentsFirst(nodes: DrawnNode[]): DrawnNode[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const done = new Set<string>();
  const sorted: DrawnNode[] = [];
  const add = (node: DrawnNode) => {
    if (done.has(node.id)) return;
    done.add(node.id);
    const parent = node.parent === null ? undefined : byId.get(node.parent);
    if (parent !== undefined) add(parent);
    sorted.push(node);
  };
  nodes.forEach(add);
  return sorted;
}

/** Same key, same picture: everything that positions depend on, and nothing else. */
export function layoutKey({ nodes, edges }: Drawn): string {
  let hash = 0x811c9dc5;
  const mix = (text: string) => {
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  };
  for (const { id, kind, parent, width, height } of nodes) mix(`${id}\n${kind}\n${parent ?? ""}\n${width}x${height}\n`);
  for (const { id, label, rule } of edges) mix(`${id}\n${label ?? ""}\n${rule ?? ""}\n`);
  return `${nodes.length}.${edges.length}.${(hash >>> 0).toString(36)}`;
}

export interface Placed {
  /** Relative to the open group around it, as xyflow has it. */
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The way of an edge in absolute positions, and the middle of its label. */
export interface Way {
  points: [x: number, y: number][];
  label: [x: number, y: number] | null;
}

export interface Layout {
  nodes: Record<string, Placed>;
  /** Edges without a way are drawn as curves. */
  edges: Record<string, Way>;
  width: number;
  height: number;
  /** Which way it was laid out; "layers" is the quick one. */
  by: "elk" | "layers";
}

/** Absolute positions, for what draws the whole picture. */
export function absolute(drawn: Drawn, layout: Layout): Map<string, Placed> {
  const found = new Map<string, Placed>();
  for (const { id, parent } of drawn.nodes) {
    const placed = layout.nodes[id];
    if (placed === undefined) continue;
    const around = parent === null ? undefined : found.get(parent);
    found.set(id, around === undefined ? placed : { ...placed, x: placed.x + around.x, y: placed.y + around.y });
  }
  return found;
}
