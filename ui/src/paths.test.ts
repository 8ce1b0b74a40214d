import { readFileSync } from "node:fs";
import { join } from "node:path";

import { matchRoutes } from "react-router";
import { expect, it } from "vitest";

import { paths, patterns, safeNext } from "./paths";

const runId = "manual__2026-11-22T08:00:00.5+00:00";

it("addresses are stable", () => {
  const task = { dagId: "a.b", runId, taskId: "group.task", mapIndex: -1 };
  expect([
    paths.home(),
    paths.dags({ q: "pay roll", state: "failed", tag: "" }),
    paths.dag("a b/c"),
    paths.dag("a", "runs", { state: "failed" }),
    paths.trigger("a", "manual__1"),
    paths.runs(),
    paths.run("a.b", runId),
    paths.run("a.b", "r", "timeline"),
    paths.task(task),
    paths.task({ ...task, mapIndex: 7 }, "xcoms"),
    paths.log(task, 2),
    paths.log({ ...task, mapIndex: 7 }, 1),
    paths.asset(3),
    paths.login("/dags/x?page=2"),
  ]).toMatchInlineSnapshot(`
    [
      "/",
      "/dags?q=pay+roll&state=failed",
      "/dags/a%20b%2Fc",
      "/dags/a/runs?state=failed",
      "/dags/a/trigger?like=manual__1",
      "/runs",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00",
      "/dags/a.b/runs/r/timeline",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00/tasks/group.task",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00/tasks/group.task/xcoms?map_index=7",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00/tasks/group.task/logs/2",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00/tasks/group.task/logs/1?map_index=7",
      "/assets/3",
      "/login?next=%2Fdags%2Fx%3Fpage%3D2",
    ]
  `);
});

it("what an address is made of comes back out of it", () => {
  const found = matchRoutes([{ path: patterns.run }], paths.run("a.b", runId));
  expect(found?.[0]?.params).toEqual({ dagId: "a.b", runId });
});

it("a DAG, run or task whose id is a word of the addresses still has its page", () => {
  const tab = { path: ":tab" };
  const routes = Object.entries(patterns).map(([id, path]) => {
    const children = { dag: [tab], run: [tab], task: [tab] }[id];
    return children === undefined ? { id, path } : { id, path, children };
  });
  const page = (path: string) =>
    matchRoutes(routes, path)
      ?.map(({ route }) => ("id" in route ? route.id : ""))
      .join("");
  const task = { dagId: "x", runId: "r", taskId: "logs", mapIndex: -1 };
  expect(page(paths.dag("runs"))).toBe("dag");
  expect(page(paths.dag("x", "runs"))).toBe("dag");
  expect(page(paths.trigger("grid"))).toBe("trigger");
  expect(page(paths.run("trigger", "tasks"))).toBe("run");
  expect(page(paths.run("x", "r", "tasks"))).toBe("run");
  expect(page(paths.task(task))).toBe("task");
  expect(page(paths.task(task, "xcoms"))).toBe("task");
  expect(page(paths.log(task, 1))).toBe("log");
});

it("signing in never leads to another site", () => {
  expect(safeNext("/dags/x?page=2")).toBe("/dags/x?page=2");
  for (const next of ["https://evil.test", "//evil.test", "/\\evil.test", "javascript:alert(1)", null]) {
    expect(safeNext(next)).toBe("/");
  }
});

it("the server knows the first segments", () => {
  const source = readFileSync(join(import.meta.dirname, "../../webserver/src/ui_assets.rs"), "utf8");
  const listed = /const PAGES: &\[&str\] = &\[([^\]]*)\]/.exec(source)?.[1]?.match(/"[^"]*"/g) ?? [];
  const first = new Set(Object.values(patterns).map((pattern) => pattern.split("/")[1] ?? ""));
  expect(listed.map((text) => JSON.parse(text) as string)).toEqual([...first].toSorted());
});
