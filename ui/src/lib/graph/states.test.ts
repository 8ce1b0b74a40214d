import { expect, it } from "vitest";

import type { GridAnswer } from "../grid/types";
import { draw, type Structure, type StructureNode } from "./model";
import { countsOf, failures, focusOf, sharesOf, statesOf, worthAsking } from "./states";
import { roundedPath, toSvg } from "./svg";

const node = (id: string, kind: "task" | "group" = "task"): StructureNode => ({
  id,
  label: id,
  kind,
  parent: id.startsWith("g.") ? "g" : null,
  operator: kind === "task" ? "BashOperator" : null,
  trigger_rule: null,
  is_mapped: false,
});
const structure: Structure = {
  dag_version_number: 1,
  nodes: [node("a"), node("g", "group"), node("g.b"), node("g.c"), node("d")],
  edges: [{ source: "a", target: "g.b", label: null }],
};
const answer = {
  dag_version_number: 1,
  nodes: structure.nodes.map((one) => ({ ...one, depth: 0, is_setup: false, is_teardown: false, tooltip: null })),
  runs: [],
  states: ["success", "failed", "queued", "none"],
  cells: {
    r: [
      [0, 1, 0, 4_000],
      { counts: { success: 3, failed: 1 }, start: null, end: null },
      [2, 0, null, null],
      [3, 0, null, null],
    ],
  },
} satisfies GridAnswer as GridAnswer;

it("cells are those of the tasks in their order, groups left out", () => {
  const states = statesOf(answer, "r");
  expect([...states].map(([id, { state }]) => [id, state])).toEqual([
    ["a", "success"],
    ["g.b", "failed"],
    ["g.c", "queued"],
    ["d", "none"],
  ]);
  expect(states.get("g.b")?.counts).toEqual({ success: 3, failed: 1 });
  expect(statesOf(answer, "other").size).toBe(0);
  expect(statesOf(undefined, "r").size).toBe(0);
});

it("opens at what failed, else at what runs, else at what waits", () => {
  const states = statesOf(answer, "r");
  expect(failures(structure, states)).toEqual(["g.b"]);
  expect(focusOf(structure, states)).toBe("g.b");
  const calm = new Map([...states].filter(([id]) => id !== "g.b"));
  expect(focusOf(structure, calm)).toBe("g.c");
  expect(focusOf(structure, new Map())).toBe(null);
  expect([...worthAsking(structure, states)]).toEqual(["g.c"]);
});

it("a folded group counts its tasks, the worst first", () => {
  const states = statesOf(answer, "r");
  const [, group] = draw(structure, new Set(["g"])).nodes;
  expect(countsOf(group?.tasks ?? [], states)).toEqual([
    ["failed", 1],
    ["queued", 1],
  ]);
  expect(group && sharesOf(group, states)).toEqual([
    { family: "bad", share: 0.5 },
    { family: "idle", share: 0.5 },
  ]);
});

it("the picture that is saved stands alone, and names cannot break it", () => {
  const drawn = draw({ ...structure, nodes: [{ ...node("a"), label: '<b>"&' }] }, new Set());
  const layout = {
    nodes: { a: { x: 0, y: 0, width: 200, height: 60 } },
    edges: {},
    width: 200,
    height: 60,
    by: "elk" as const,
  };
  const ink = { body: "#fff", panel: "#eee", line: "#ccc", muted: "#555", text: "#000" };
  const svg = toSvg(drawn, layout, "t", { ...ink, colour: () => "#123456", detail: () => "", edge: () => null });
  expect(svg).toContain("&lt;b&gt;&quot;&amp;");
  expect(svg).not.toContain("var(");
  expect(svg).toContain("#123456");
});

it("corners are round, and a straight line stays one", () => {
  expect(
    roundedPath([
      [0, 0],
      [10, 0],
    ]),
  ).toBe("M0 0L10 0");
  expect(
    roundedPath([
      [0, 0],
      [100, 0],
      [100, 100],
    ]),
  ).toBe("M0 0L92 0Q100 0 100 8L100 100");
  expect(roundedPath([])).toBe("");
});
