import { screen, waitFor } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, expect, it } from "vitest";

import type { Structure, StructureNode } from "../../lib/graph/model";
import type { GridAnswer } from "../../lib/grid/types";
import { dag, dagDetails, run } from "../../testing/fixtures";
import { world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const node = (id: string, over: Partial<StructureNode> = {}): StructureNode => ({
  id,
  label: id.split(".").at(-1) ?? id,
  kind: "task",
  parent: id.includes(".") ? (id.split(".")[0] ?? null) : null,
  operator: "BashOperator",
  trigger_rule: "all_success",
  is_mapped: false,
  ...over,
});

const structure: Structure = {
  dag_version_number: 1,
  nodes: [node("start"), node("load", { kind: "group", operator: null }), node("load.eu"), node("end")],
  edges: [
    { source: "start", target: "load.eu", label: null },
    { source: "load.eu", target: "end", label: null },
  ],
};

let cells: GridAnswer["cells"] = {};

beforeEach(() => {
  world.dags = [dag("etl")];
  world.details = [dagDetails("etl")];
  world.runs = [run("etl", "r1", { state: "failed" })];
  cells = { r1: [[0, 1, 0, 4_000], [1, 3, 0, 2_000], null] };
  const states = ["success", "failed"];
  server.use(
    http.get("*/ui/structure/:dagId", () => HttpResponse.json(structure)),
    http.get("*/ui/grid/:dagId", () =>
      HttpResponse.json({ dag_version_number: 1, nodes: structure.nodes, runs: [world.runs[0]], states, cells }),
    ),
    http.get("*/ui/tries/:dagId/:runId/:taskId", () =>
      HttpResponse.json({ tries: [{ try_number: 3, failure_reason: "exit 1" }] }),
    ),
  );
});

it("shows the newest run and leads to its failure", async () => {
  const { user, container } = open("/dags/etl/graph");
  const button = await screen.findByRole("button", { name: "1 failure" });
  await user.click(button);
  expect(await screen.findByRole("button", { name: "Next failure (1 of 1)" })).toBeTruthy();
  await expectAccessible(container);
});

it("folds all groups, and the address says so", async () => {
  const { user, here } = open("/dags/etl/graph");
  await user.click(await screen.findByRole("button", { name: "Fold all groups" }));
  await waitFor(() => expect(here()).toContain("groups=all"));
  await user.click(screen.getByRole("button", { name: "Open all groups" }));
  await waitFor(() => expect(here()).toContain("groups=none"));
});

it("finds tasks by a part of their name, also in folded groups", async () => {
  const { user } = open("/dags/etl/graph?groups=all");
  await user.type(await screen.findByRole("searchbox", { name: "Find a task" }), "eu");
  expect(await screen.findByText("1 match")).toBeTruthy();
});

it("says why there is no graph, and tries again", async () => {
  let fails = true;
  server.use(
    http.get("*/ui/structure/:dagId", () =>
      fails ? HttpResponse.json({ detail: "Version not found" }, { status: 404 }) : HttpResponse.json(structure),
    ),
  );
  const { user } = open("/dags/etl/graph");
  expect(await screen.findByText("Version not found")).toBeTruthy();
  fails = false;
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByRole("searchbox", { name: "Find a task" })).toBeTruthy();
});
