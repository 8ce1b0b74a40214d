/**
 * A layered layout that is quick rather than beautiful: for graphs that are too large for ELK, in time that grows with their size. Groups
 * are laid out from the inside out, each as one box of the group around it. Deterministic.
 */
import type { Drawn, DrawnNode, Layout, Placed } from "./model";

const GAP = { between: 24, layers: 72, padding: 16, head: 36 } as const;
/** A layer of more boxes than this is broken into several columns, so that a wide fan-out stays a block and not a line of kilometres. */
const COLUMN = 12;
/** Of such a block, width to height. */
const SHAPE = 1.5;
const SWEEPS = 4;

interface Box {
  id: string;
  width: number;
  height: number;
}

export function layers(drawn: Drawn): Layout {
  const byId = new Map(drawn.nodes.map((node) => [node.id, node]));
  const children = new Map<string | null, DrawnNode[]>();
  for (const node of drawn.nodes) {
    const parent = node.parent !== null && byId.has(node.parent) ? node.parent : null;
    const list = children.get(parent);
    if (list === undefined) children.set(parent, [node]);
    else list.push(node);
  }
  const edges = edgesByGroup(drawn, byId);
  const placed: Record<string, Placed> = {};

  const layGroup = (group: string | null): { width: number; height: number } => {
    const boxes = (children.get(group) ?? []).map((node): Box => {
      const size = node.kind === "group" ? layGroup(node.id) : node;
      return { id: node.id, width: size.width, height: size.height };
    });
    const inner = layOut(boxes, edges.get(group) ?? []);
    const top = group === null ? 0 : GAP.head;
    const side = group === null ? 0 : GAP.padding;
    for (const box of boxes) {
      const at = inner.at.get(box.id) ?? { x: 0, y: 0 };
      placed[box.id] = { x: at.x + side, y: at.y + top, width: box.width, height: box.height };
    }
    return { width: inner.width + 2 * side, height: inner.height + top + side };
  };
  const whole = layGroup(null);
  return { nodes: placed, edges: {}, ...whole, by: "layers" };
}

/** Each edge belongs to the innermost group that contains both ends, between the two boxes of that group that hold them. */
function edgesByGroup(drawn: Drawn, byId: ReadonlyMap<string, DrawnNode>) {
  const chain = (id: string): string[] => {
    const found: string[] = [];
    for (let at: string | null | undefined = id; at != null && byId.has(at); at = byId.get(at)?.parent) found.push(at);
    return found.toReversed();
  };
  const chains = new Map<string, string[]>();
  const chainOf = (id: string) => {
    const known = chains.get(id) ?? chain(id);
    chains.set(id, known);
    return known;
  };
  const found = new Map<string | null, [string, string][]>();
  for (const { source, target } of drawn.edges) {
    const from = chainOf(source);
    const to = chainOf(target);
    let depth = 0;
    while (depth < from.length && depth < to.length && from[depth] === to[depth]) depth++;
    const [a, b] = [from[depth], to[depth]];
    if (a === undefined || b === undefined) continue;
    const group = depth === 0 ? null : (from[depth - 1] ?? null);
    const list = found.get(group);
    if (list === undefined) found.set(group, [[a, b]]);
    else list.push([a, b]);
  }
  return found;
}

function layOut(boxes: Box[], edges: [string, string][]) {
  const at = new Map<string, { x: number; y: number }>();
  const rows = order(boxes, edges);
  let x = 0;
  let height = 0;
  const columns: { boxes: Box[]; x: number; height: number }[] = [];
  for (const row of rows) {
    const parts = row.length <= COLUMN ? 1 : columnsOf(row);
    const size = Math.ceil(row.length / parts);
    for (let part = 0; part < parts; part++) {
      const column = row.slice(part * size, (part + 1) * size);
      const width = Math.max(...column.map((box) => box.width));
      const tall = column.reduce((sum, box) => sum + box.height + GAP.between, -GAP.between);
      columns.push({ boxes: column, x, height: tall });
      height = Math.max(height, tall);
      x += width + (part < parts - 1 ? GAP.between : GAP.layers);
    }
  }
  for (const column of columns) {
    let y = (height - column.height) / 2;
    for (const box of column.boxes) {
      at.set(box.id, { x: column.x, y });
      y += box.height + GAP.between;
    }
  }
  return { at, width: Math.max(0, x - GAP.layers), height };
}

function columnsOf(row: Box[]): number {
  const tall = row.reduce((sum, box) => sum + box.height + GAP.between, 0);
  const wide = Math.max(...row.map((box) => box.width)) + GAP.between;
  return Math.min(row.length, Math.max(1, Math.round(Math.sqrt((SHAPE * tall) / wide))));
}

/** The layers from left to right, each from top to bottom: by longest path, then by the middle of the neighbours. */
function order(boxes: Box[], edges: [string, string][]): Box[][] {
  const number = new Map(boxes.map((box, index) => [box.id, index]));
  const next: number[][] = boxes.map(() => []);
  const before: number[][] = boxes.map(() => []);
  const seen = new Set<number>();
  for (const [source, target] of edges) {
    const from = number.get(source);
    const to = number.get(target);
    if (from === undefined || to === undefined || from === to) continue;
    const key = from * boxes.length + to;
    if (seen.has(key)) continue;
    seen.add(key);
    next[from]?.push(to);
    before[to]?.push(from);
  }
  const depth = longestPaths(next, before);
  const rows: number[][] = [];
  depth.forEach((layer, index) => (rows[layer] ??= []).push(index));
  const place: number[] = [];
  const settle = () => rows.forEach((row) => row.forEach((index, position) => (place[index] = position)));
  settle();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const neighbours = sweep % 2 === 0 ? before : next;
    const towards = sweep % 2 === 0 ? rows : rows.toReversed();
    for (const row of towards) {
      const middle = new Map(row.map((index) => [index, mean(neighbours[index] ?? [], place) ?? place[index] ?? 0]));
      row.sort((a, b) => (middle.get(a) ?? 0) - (middle.get(b) ?? 0) || a - b);
      row.forEach((index, position) => (place[index] = position));
    }
  }
  return rows.filter((row) => row !== undefined).map((row) => row.flatMap((index) => boxes[index] ?? []));
}

function mean(of: number[], place: number[]): number | null {
  if (of.length === 0) return null;
  return of.reduce((sum, index) => sum + (place[index] ?? 0), 0) / of.length;
}

/** Kahn's algorithm. What is on a cycle (two groups that need each other) comes after the rest. */
function longestPaths(next: number[][], before: number[][]): number[] {
  const depth = next.map(() => 0);
  const missing = before.map((list) => list.length);
  const ready = missing.flatMap((count, index) => (count === 0 ? [index] : []));
  const done = new Set<number>();
  for (let turn = 0; turn < next.length; turn++) {
    let index = ready[turn];
    if (index === undefined) {
      index = next.findIndex((_, other) => !done.has(other));
      if (index < 0) break;
      ready.push(index);
    }
    done.add(index);
    for (const other of next[index] ?? []) {
      if (done.has(other)) continue;
      depth[other] = Math.max(depth[other] ?? 0, (depth[index] ?? 0) + 1);
      missing[other] = (missing[other] ?? 0) - 1;
      if (missing[other] === 0) ready.push(other);
    }
  }
  return depth;
}
