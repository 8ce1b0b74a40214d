import { describe, expect, it } from "vitest";

import { move, nextFailure } from "./move";
import { joined, patched, patchedRun } from "./patch";
import { countsOf, groupsOf, NO_FILTER, openGroups, openWish, treeOf, visibleRows, type Row } from "./rows";
import type { Cell, GridAnswer, GridNode, GridRun, ManyCell } from "./types";

const node = (id: string, over: Partial<GridNode> = {}): GridNode => ({
  id,
  label: id.split(".").at(-1) ?? id,
  kind: "task",
  parent: null,
  depth: 0,
  operator: "bash",
  is_mapped: false,
  trigger_rule: "all_success",
  is_setup: false,
  is_teardown: false,
  tooltip: null,
  ...over,
});
const group = (id: string, parent: string | null = null) => node(id, { kind: "group", parent, operator: null });
const many = (counts: ManyCell["counts"]): ManyCell => ({ counts, start: null, end: null });
const run = (dag_run_id: string, over: Partial<GridRun> = {}): GridRun => ({
  dag_run_id,
  run_type: "scheduled",
  state: "success",
  run_after: "2026-11-22T08:00:00Z",
  logical_date: null,
  queued_at: null,
  start_date: null,
  end_date: null,
  duration: 1,
  dag_version_number: 1,
  note: false,
  failed_tasks: 0,
  ...over,
});
const states = ["success", "failed", "upstream_failed", "running", "queued", "none"];
const ok: Cell = [0, 1, 0, 1];
const bad: Cell = [1, 3, 0, 1];
const after: Cell = [2, 0, null, null];

/** extract.crm, extract.erp, extract.deep.one, load; two runs, the older one broken. */
const answer: GridAnswer = {
  dag_version_number: 1,
  nodes: [
    group("extract"),
    node("extract.crm", { parent: "extract" }),
    node("extract.erp", { parent: "extract", is_mapped: true }),
    group("extract.deep", "extract"),
    node("extract.deep.one", { parent: "extract.deep" }),
    node("load"),
  ],
  runs: [run("old", { state: "failed" }), run("new")],
  states,
  cells: {
    old: [ok, many({ success: 20, failed: 3 }), ok, after],
    new: [ok, many({ success: 24 }), bad, ok],
  },
};
const rows = treeOf(answer.nodes);
const word = (state: string) => ({ failed: "失败", success: "成功" })[state] ?? state;
const ids = (list: readonly Row[]) => list.map((row) => row.id);
const shown = (open: string[], filter = NO_FILTER) => ids(visibleRows(rows, new Set(open), filter, answer, word));

describe("the tree of rows", () => {
  it("gives groups the places of all tasks in them, at any depth", () => {
    expect(rows.map((row) => [row.id, row.depth, row.tasks])).toEqual([
      ["extract", 0, [0, 1, 2]],
      ["extract.crm", 1, [0]],
      ["extract.erp", 1, [1]],
      ["extract.deep", 1, [2]],
      ["extract.deep.one", 2, [2]],
      ["load", 0, [3]],
    ]);
  });

  it("keeps a node whose group is missing, and brings those together that are not listed together", () => {
    const odd = treeOf([
      group("a"),
      node("lost", { parent: "gone" }),
      node("a.one", { parent: "a" }),
      node("end"),
      node("a.two", { parent: "a" }),
    ]);
    expect(ids(odd)).toEqual(["a", "a.one", "a.two", "lost", "end"]);
    expect(odd.map((row) => row.task)).toEqual([-1, 1, 3, 0, 2]);
  });

  it("survives groups that contain each other", () => {
    expect(treeOf([group("a", "b"), group("b", "a"), node("c")]).map((row) => row.id)).toEqual(["c"]);
  });
});

describe("folding", () => {
  it("hides what is in a folded group, also in groups of it that are open", () => {
    expect(shown([])).toEqual(["extract", "load"]);
    expect(shown(["extract"])).toEqual(["extract", "extract.crm", "extract.erp", "extract.deep", "load"]);
    expect(shown(["extract.deep"])).toEqual(["extract", "load"]);
  });

  it("opens the groups of a small DAG and folds those of a large one, unless the address says otherwise", () => {
    const large = treeOf([group("g"), ...Array.from({ length: 41 }, (_, n) => node(`g.${n}`, { parent: "g" }))]);
    expect([...openGroups(rows, null)]).toEqual(["extract", "extract.deep"]);
    expect([...openGroups(large, null)]).toEqual([]);
    expect([...openGroups(large, "all")]).toEqual(["g"]);
    expect([...openGroups(rows, "none")]).toEqual([]);
    expect([...openGroups(rows, "extract,nothing")]).toEqual(["extract"]);
  });

  it("says in the address only what differs from the default, and reads it back", () => {
    expect(openWish(rows, new Set(groupsOf(rows)))).toBe(null);
    expect(openWish(rows, new Set())).toBe("none");
    expect(openWish(rows, new Set(["extract"]))).toBe("extract");
    const odd = treeOf([group("a,b"), group("100%2C"), node("c")]);
    for (const id of ["a,b", "100%2C"]) {
      const wish = openWish(odd, new Set([id]));
      expect([...openGroups(odd, wish)]).toEqual([id]);
    }
  });
});

describe("counting", () => {
  it("stacks the states of a folded group, worst first, mapped instances one by one", () => {
    const [extract] = rows as [Row];
    expect(countsOf(extract, answer.cells["old"], states)).toEqual([
      { state: "failed", n: 3 },
      { state: "success", n: 22 },
    ]);
  });

  it("counts nothing where a task did not exist yet, and a task without a state as none", () => {
    const [, crm] = rows as [Row, Row];
    expect(countsOf(crm, [null], states)).toEqual([]);
    expect(countsOf(crm, [[5, 0, null, null]], states)).toEqual([{ state: "none", n: 1 }]);
    expect(countsOf(crm, undefined, states)).toEqual([]);
  });
});

describe("filtering", () => {
  it("finds tasks by name, with the groups they are in, folded or not", () => {
    expect(shown([], { text: "ERP", failuresOnly: false })).toEqual(["extract", "extract.erp"]);
  });
  it("brings everything in a group whose name matches", () => {
    expect(shown([], { text: "deep", failuresOnly: false })).toEqual(["extract", "extract.deep", "extract.deep.one"]);
  });
  it("finds tasks by a state they have in any run, in the API's word and in the reader's", () => {
    const failed = ["extract", "extract.erp", "extract.deep", "extract.deep.one", "load"];
    expect(shown([], { text: "upstream_fail", failuresOnly: false })).toEqual(["load"]);
    expect(shown([], { text: "failed", failuresOnly: false })).toEqual(failed);
    expect(shown([], { text: "失败", failuresOnly: false })).toEqual(failed.slice(0, -1));
  });
  it("keeps only what failed, or could not run because of it", () => {
    expect(shown([], { text: "", failuresOnly: true })).toEqual([
      "extract",
      "extract.erp",
      "extract.deep",
      "extract.deep.one",
      "load",
    ]);
    expect(shown([], { text: "load", failuresOnly: true })).toEqual(["load"]);
    expect(shown([], { text: "crm", failuresOnly: true })).toEqual([]);
  });
});

describe("moving by keyboard", () => {
  const size = { rows: 3, columns: 2 };
  it("stays inside, and never stands in the empty corner", () => {
    expect(move({ row: 0, column: 0 }, "ArrowUp", size)).toEqual({ row: -1, column: 0 });
    expect(move({ row: -1, column: 0 }, "ArrowUp", size)).toEqual({ row: -1, column: 0 });
    expect(move({ row: -1, column: 0 }, "ArrowLeft", size)).toEqual({ row: -1, column: 0 });
    expect(move({ row: 0, column: -1 }, "ArrowUp", size)).toEqual({ row: 0, column: -1 });
    expect(move({ row: 2, column: 1 }, "ArrowDown", size)).toEqual({ row: 2, column: 1 });
    expect(move({ row: 2, column: 1 }, "ArrowRight", size)).toEqual({ row: 2, column: 1 });
    expect(move({ row: 2, column: 1 }, "PageUp", size)).toEqual({ row: -1, column: 1 });
    expect(move({ row: 2, column: 1 }, "Home", size)).toEqual({ row: 2, column: -1 });
    expect(move({ row: 2, column: 1 }, "x", size)).toBe(null);
  });

  it("goes from failure to failure, newest run first, and round", () => {
    const list = visibleRows(rows, new Set(groupsOf(rows)), NO_FILTER, answer, word);
    const next = (at: { row: number; column: number } | null, back = false) =>
      nextFailure(at, back, list, answer, () => false);
    expect(next(null)).toEqual({ row: 4, column: 1 });
    expect(next({ row: 4, column: 1 })).toEqual({ row: 2, column: 0 });
    expect(next({ row: 2, column: 0 })).toEqual({ row: 4, column: 1 });
    expect(next({ row: 2, column: 0 }, true)).toEqual({ row: 4, column: 1 });
    expect(next(null, true)).toEqual({ row: 2, column: 0 });
    expect(next({ row: -1, column: 1 })).toEqual({ row: 4, column: 1 });
  });

  it("stops at a folded group that has a failure in it", () => {
    const list = visibleRows(rows, new Set(), NO_FILTER, answer, word);
    expect(nextFailure(null, false, list, answer, () => true)).toEqual({ row: 0, column: 1 });
    expect(nextFailure(null, false, list, { ...answer, runs: [] }, () => true)).toBe(null);
  });
});

describe("what is told as it happens", () => {
  const change = { dag_run_id: "new", task_id: "load", map_index: -1, state: "running", try_number: 2 };
  it("changes one cell and leaves the other runs as they are", () => {
    const next = patched(answer, change, 99);
    expect(next.cells["new"]?.[3]).toEqual([3, 2, 99, null]);
    expect(next.cells["old"]).toBe(answer.cells["old"]);
    const done = patched(next, { ...change, state: "success" }, 120);
    expect(done.cells["new"]?.[3]).toEqual([0, 2, 99, 120]);
  });
  it("learns a state that was not in the answer", () => {
    const next = patched(answer, { ...change, state: "deferred" }, 99);
    expect(next.states[next.cells["new"]?.[3]?.[0 as never] ?? -1]).toBe("deferred");
    expect(answer.states).not.toContain("deferred");
  });
  it("says by the same object that nothing changed or that the server must be asked", () => {
    expect(patched(answer, { ...change, dag_run_id: "other" }, 0)).toBe(answer);
    expect(patched(answer, { ...change, task_id: "extract.erp", map_index: 3 }, 0)).toBe(answer);
    expect(patched(answer, { ...change, state: "success", try_number: 1 }, 0)).toBe(answer);
    expect(patchedRun(answer, { dag_run_id: "new", state: "success" })).toBe(answer);
    expect(patchedRun(answer, { dag_run_id: "new", state: "failed" }).runs[1]?.state).toBe("failed");
  });
});

describe("joining pages", () => {
  it("brings older runs to the tasks of today, and knows each run once", () => {
    const older: GridAnswer = {
      ...answer,
      nodes: [node("load"), node("dropped")],
      states: ["failed", "success"],
      runs: [run("older"), run("old")],
      cells: {
        older: [
          [0, 1, null, null],
          [1, 1, null, null],
        ],
        old: [],
      },
    };
    const all = joined([answer, older]);
    expect(all.runs.map((each) => each.dag_run_id)).toEqual(["older", "old", "new"]);
    expect(all.cells["older"]).toEqual([null, null, null, [1, 1, null, null]]);
    expect(all.cells["old"]).toBe(answer.cells["old"]);
  });
});
