/** Assets and the DAGs between them as a graph. Pure. */
import type { Drawn, DrawnEdge, DrawnNode } from "./model";

export interface AssetLike {
  id: number;
  name: string;
  producing_tasks: { dag_id: string; task_id: string }[];
  consuming_tasks: { dag_id: string; task_id: string }[];
  scheduled_dags: { dag_id: string }[];
}

const SIZE = { width: 224, height: 56 } as const;

export const assetKey = (id: number) => `asset:${id}`;
export const dagKey = (id: string) => `dag:${id}`;

/** `reads`: the word on the edge to a DAG whose task reads an asset without waiting for it. */
export function assetGraph(assets: readonly AssetLike[], reads: string): Drawn {
  const nodes = new Map<string, DrawnNode>();
  const edges = new Map<string, DrawnEdge>();
  const add = (id: string, label: string, operator: string) => {
    if (nodes.has(id)) return;
    const node = { id, label, kind: "task" as const, parent: null, operator, trigger_rule: null, is_mapped: false };
    nodes.set(id, { id, label, kind: "task", parent: null, ...SIZE, tasks: [id], node });
  };
  const join = (source: string, target: string, label: string | null) => {
    const id = `${source} → ${target}`;
    // That a DAG waits for an asset says more than that it reads it.
    if (edges.get(id)?.label !== null) edges.set(id, { id, source, target, label, rule: null });
  };
  for (const asset of assets) {
    const key = assetKey(asset.id);
    add(key, asset.name, "asset");
    for (const { dag_id } of asset.producing_tasks) {
      add(dagKey(dag_id), dag_id, "dag");
      join(dagKey(dag_id), key, null);
    }
    for (const { dag_id } of asset.consuming_tasks) {
      add(dagKey(dag_id), dag_id, "dag");
      join(key, dagKey(dag_id), reads);
    }
    for (const { dag_id } of asset.scheduled_dags) {
      add(dagKey(dag_id), dag_id, "dag");
      join(key, dagKey(dag_id), null);
    }
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

/** What leads to these nodes and what they lead to, however far. */
export function around(drawn: Drawn, from: string): Drawn {
  const next = new Map<string, string[]>();
  const before = new Map<string, string[]>();
  for (const { source, target } of drawn.edges) {
    next.set(source, [...(next.get(source) ?? []), target]);
    before.set(target, [...(before.get(target) ?? []), source]);
  }
  const found = new Set([from]);
  for (const step of [next, before]) {
    const todo = [from];
    for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
      for (const other of step.get(id) ?? []) {
        if (found.has(other)) continue;
        found.add(other);
        todo.push(other);
      }
    }
  }
  return {
    nodes: drawn.nodes.filter(({ id }) => found.has(id)),
    edges: drawn.edges.filter(({ source, target }) => found.has(source) && found.has(target)),
  };
}
