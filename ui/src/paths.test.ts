import { matchRoutes } from "react-router";
import { expect, it } from "vitest";

import { paths, patterns, safeNext } from "./paths";

const runId = "manual__2026-11-22T08:00:00.5+00:00";

it("addresses are stable", () => {
  const task = { dagId: "a.b", runId, taskId: "group.task", mapIndex: -1 };
  expect([
    paths.dags(),
    paths.runs(),
    paths.dag("a b/c"),
    paths.run("a.b", runId),
    paths.log(task, 2),
    paths.log({ ...task, mapIndex: 7 }, 1),
    paths.login("/dags/x?page=2"),
  ]).toMatchInlineSnapshot(`
    [
      "/",
      "/runs",
      "/dags/a%20b%2Fc",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00/tasks/group.task/logs/2",
      "/dags/a.b/runs/manual__2026-11-22T08%3A00%3A00.5%2B00%3A00/tasks/group.task/logs/1?map_index=7",
      "/login?next=%2Fdags%2Fx%3Fpage%3D2",
    ]
  `);
});

it("what an address is made of comes back out of it", () => {
  const found = matchRoutes([{ path: patterns.run }], paths.run("a.b", runId));
  expect(found?.[0]?.params).toEqual({ dagId: "a.b", runId });
});

it("signing in never leads to another site", () => {
  expect(safeNext("/dags/x?page=2")).toBe("/dags/x?page=2");
  for (const next of ["https://evil.test", "//evil.test", "/\\evil.test", "javascript:alert(1)", null]) {
    expect(safeNext(next)).toBe("/");
  }
});
