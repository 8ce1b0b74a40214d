import { expect, it } from "vitest";

import { fromElk, suitsElk, toElk } from "./elk";
import { layers } from "./layers";
import { absolute, draw, foldedGroups, layoutKey, toggled, type Structure, type StructureNode } from "./model";

const node = (id: string, over: Partial<StructureNode> = {}): StructureNode => ({
  id,
  label: id.split(".").at(-1) ?? id,
  kind: "task",
  parent: id.includes(".") ? id.slice(0, id.lastIndexOf(".")) : null,
  operator: "BashOperator",
  trigger_rule: "all_success",
  is_mapped: false,
  ...over,
});
const group = (id: string) => node(id, { kind: "group", operator: null, trigger_rule: null });
const edge = (source: string, target: string, label: string | null = null) => ({ source, target, label });

/** start → load.{eu → us} → done, with a group in the group. */
const small: Structure = {
  dag_version_number: 1,
  nodes: [
    node("start"),
    group("load"),
    group("load.deep"),
    node("load.deep.eu"),
    node("load.us"),
    node("done", { trigger_rule: "all_done" }),
  ],
  edges: [
    edge("start", "load.deep.eu"),
    edge("load.deep.eu", "load.us"),
    edge("load.us", "done"),
    edge("start", "done"),
  ],
};

/** Groups of a chain each, side by side. */
function large(groups: number, each: number): Structure {
  const nodes = [node("start"), node("end")];
  const edges = [];
  for (let g = 0; g < groups; g++) {
    nodes.push(group(`g${g}`));
    for (let t = 0; t < each; t++) {
      nodes.push(node(`g${g}.t${t}`));
      edges.push(edge(t === 0 ? "start" : `g${g}.t${t - 1}`, `g${g}.t${t}`));
    }
    edges.push(edge(`g${g}.t${each - 1}`, "end"));
  }
  return { dag_version_number: 1, nodes, edges };
}

const overlaps = (structure: Structure, folded = new Set<string>()) => {
  const drawn = draw(structure, folded);
  const layout = layers(drawn);
  const leaves = drawn.nodes.filter((item) => item.kind !== "group");
  const at = absolute(drawn, layout);
  const boxes = leaves.map((item) => at.get(item.id)).filter((box) => box !== undefined);
  expect(boxes).toHaveLength(leaves.length);
  let found = 0;
  for (let a = 0; a < boxes.length; a++) {
    for (let b = a + 1; b < boxes.length; b++) {
      const [p, q] = [boxes[a], boxes[b]];
      if (p === undefined || q === undefined) continue;
      if (p.x < q.x + q.width && q.x < p.x + p.width && p.y < q.y + q.height && q.y < p.y + p.height) found++;
    }
  }
  return found;
};

it("edges end at the outermost folded group, and what is inside of it is not drawn", () => {
  const drawn = draw(small, new Set(["load", "load.deep"]));
  expect(drawn.nodes.map(({ id, kind }) => `${kind} ${id}`)).toEqual(["task start", "folded load", "task done"]);
  expect(drawn.edges.map(({ id }) => id)).toEqual(["start → load", "load → done", "start → done"]);
  expect(drawn.nodes.find(({ id }) => id === "load")?.tasks).toEqual(["load.deep.eu", "load.us"]);
});

it("a group folded inside of an open one stands for its own tasks only", () => {
  const drawn = draw(small, new Set(["load.deep"]));
  expect(drawn.nodes.map(({ id, kind, parent }) => `${kind} ${id} in ${parent ?? "-"}`)).toEqual([
    "task start in -",
    "group load in -",
    "folded load.deep in load",
    "task load.us in load",
    "task done in -",
  ]);
});

it("edges carry the trigger rule unless it is the usual one, or there are too many to read", () => {
  expect(
    draw(small, new Set())
      .edges.filter(({ rule }) => rule !== null)
      .map(({ id }) => id),
  ).toEqual(["load.us → done", "start → done"]);
  const fan: Structure = {
    dag_version_number: 1,
    nodes: [..."abcdef"].map((id) => node(id)).concat(node("end", { trigger_rule: "one_failed" })),
    edges: [..."abcdef"].map((id) => edge(id, "end")),
  };
  expect(draw(fan, new Set()).edges.filter(({ rule }) => rule !== null)).toEqual([]);
});

it("edges that become one say only what is true of all of them", () => {
  const two: Structure = {
    dag_version_number: 1,
    nodes: [node("a"), group("g"), node("g.x", { trigger_rule: "all_done" }), node("g.y")],
    edges: [edge("a", "g.x", "yes"), edge("a", "g.y", "no")],
  };
  expect(draw(two, new Set(["g"])).edges).toMatchObject([{ id: "a → g", label: null, rule: null }]);
});

it("a small DAG opens whole, a large one folded but for what failed", () => {
  expect(foldedGroups(small, null, [])).toEqual(new Set());
  const big = large(10, 10);
  expect(foldedGroups(big, null, []).size).toBe(10);
  expect(foldedGroups(big, null, ["g3.t5"]).has("g3")).toBe(false);
  expect(foldedGroups(big, "none", []).size).toBe(0);
  expect(foldedGroups(big, "g1,g2", ["g3.t5"]).size).toBe(8);
});

it("folding and opening a group comes back to where it began", () => {
  const folded = foldedGroups(small, "load.deep,load", []);
  expect(toggled(small, folded, "load.deep")).toBe("load");
  expect(toggled(small, foldedGroups(small, "load", []), "load.deep")).toBe("none");
  expect(toggled(small, foldedGroups(small, "load", []), "load")).toBe("all");
});

it("the key of a layout follows the structure", () => {
  const open = draw(small, new Set());
  expect(layoutKey(open)).toBe(layoutKey(draw(structuredClone(small), new Set())));
  expect(layoutKey(open)).not.toBe(layoutKey(draw(small, new Set(["load"]))));
  const renamed = { ...small, edges: small.edges.slice(1) };
  expect(layoutKey(open)).not.toBe(layoutKey(draw(renamed, new Set())));
});

it("the quick layout goes from left to right, keeps children inside their group, and lets nothing overlap", () => {
  const drawn = draw(small, new Set());
  const layout = layers(drawn);
  const at = absolute(drawn, layout);
  const box = (id: string) => at.get(id) ?? { x: NaN, y: NaN, width: NaN, height: NaN };
  expect(box("start").x).toBeLessThan(box("load.deep.eu").x);
  expect(box("load.deep.eu").x).toBeLessThan(box("load.us").x);
  expect(box("load.us").x).toBeLessThan(box("done").x);
  expect(box("load.us").x + box("load.us").width).toBeLessThan(box("load").x + box("load").width);
  expect(box("load.us").y + box("load.us").height).toBeLessThan(box("load").y + box("load").height);
  expect(overlaps(small)).toBe(0);
  expect(overlaps(large(12, 7))).toBe(0);
  expect(layers(draw(structuredClone(small), new Set()))).toEqual(layout);
});

it("a wide fan-out becomes a block", () => {
  const wide = large(300, 1);
  expect(overlaps(wide)).toBe(0);
  const { width, height } = layers(draw(wide, new Set()));
  expect(height / width).toBeLessThan(3);
});

it("two groups that need each other, and nothing at all, are laid out too", () => {
  const mutual: Structure = {
    dag_version_number: 1,
    nodes: [group("a"), node("a.1"), node("a.2"), group("b"), node("b.1")],
    edges: [edge("a.1", "b.1"), edge("b.1", "a.2")],
  };
  expect(overlaps(mutual)).toBe(0);
  expect(overlaps({ dag_version_number: 1, nodes: [], edges: [] })).toBe(0);
});

it("10,000 tasks are laid out in about the time of one frame or two dozen, not in seconds", () => {
  const huge = large(100, 100);
  const drawn = draw(huge, new Set());
  expect(suitsElk(drawn)).toBe(false);
  const begun = performance.now();
  const { nodes } = layers(drawn);
  expect(performance.now() - begun).toBeLessThan(2_000);
  expect(Object.keys(nodes)).toHaveLength(drawn.nodes.length);
});

it("what goes to ELK is nested like the groups, and its answer comes back by id", () => {
  const elk = toElk(draw(small, new Set(["load.deep"])));
  expect(elk.children?.map(({ id }) => id)).toEqual(["start", "load", "done"]);
  expect(elk.children?.[1]?.children?.map(({ id }) => id)).toEqual(["load.deep", "load.us"]);
  expect(elk.edges?.find(({ id }) => id === "start → done")?.labels?.[0]?.text).toBe("all_done");
  const layout = fromElk({
    id: "root",
    width: 500,
    height: 90,
    children: [
      {
        id: "load",
        x: 10,
        y: 20,
        width: 300,
        height: 80,
        children: [{ id: "load.us", x: 5, y: 6, width: 1, height: 2 }],
      },
    ],
  });
  expect(layout.nodes).toEqual({
    load: { x: 10, y: 20, width: 300, height: 80 },
    "load.us": { x: 5, y: 6, width: 1, height: 2 },
  });
});
