import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, describe, expect, it } from "vitest";

import type { GridAnswer, GridNode, GridRun, ManyCell } from "../../lib/grid/types";
import { dag } from "../../testing/fixtures";
import { world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const node = (id: string, over: Partial<GridNode> = {}): GridNode => ({
  id,
  label: id,
  kind: "task",
  parent: null,
  depth: 0,
  operator: "BashOperator",
  is_mapped: false,
  trigger_rule: "all_success",
  is_setup: false,
  is_teardown: false,
  tooltip: null,
  ...over,
});
const many = (counts: ManyCell["counts"]): ManyCell => ({ counts, start: null, end: null });
const run = (dag_run_id: string, over: Partial<GridRun> = {}): GridRun => ({
  dag_run_id,
  run_type: "scheduled",
  state: "success",
  run_after: "2026-11-22T08:00:00Z",
  logical_date: null,
  queued_at: null,
  start_date: "2026-11-22T08:00:00Z",
  end_date: "2026-11-22T08:01:00Z",
  duration: 60,
  dag_version_number: 1,
  note: false,
  failed_tasks: 0,
  ...over,
});

const grid: GridAnswer = {
  dag_version_number: 1,
  nodes: [
    node("extract", { kind: "group" }),
    node("extract.crm", { parent: "extract", depth: 1 }),
    node("extract.files", { parent: "extract", depth: 1, is_mapped: true }),
    node("load"),
  ],
  runs: [run("older"), run("newest", { state: "failed", failed_tasks: 3 })],
  states: ["success", "failed", "upstream_failed"],
  cells: {
    older: [[0, 1, 0, 1000], many({ success: 24 }), [0, 1, 0, 1000]],
    newest: [[0, 1, 0, 1000], many({ success: 21, failed: 3 }), [2, 0, null, null]],
  },
};

beforeEach(() => {
  world.dags = [dag("example")];
  server.use(http.get("*/ui/grid/example", () => HttpResponse.json(grid)));
  // A window has a size; happy-dom's has none.
  for (const [name, value] of Object.entries({ clientWidth: 1200, clientHeight: 700, scrollWidth: 1200 })) {
    Object.defineProperty(HTMLElement.prototype, name, { configurable: true, value });
  }
});

const cell = (name: string) => screen.findByRole("link", { name });

describe("the grid", () => {
  it("names every cell and run, and leads to the task, its mapped instances or the run", async () => {
    const { container } = open("/dags/example");
    const failed = await cell("load, newest: upstream failed");
    expect(failed.getAttribute("href")).toBe("/dags/example/runs/newest/tasks/load");
    expect((await cell("files, newest: 3 failed, 21 success")).getAttribute("href")).toBe(
      "/dags/example/runs/newest/tasks/extract.files/mapped",
    );
    expect((await cell("newest, failed, scheduled, 1 m 00 s, 3 failed tasks")).getAttribute("href")).toBe(
      "/dags/example/runs/newest",
    );
    await expectAccessible(container);
  });

  it("folds a group into counts, in the address", async () => {
    const { user, here } = open("/dags/example");
    await user.click(await screen.findByRole("button", { name: /extract/, expanded: true }));
    await waitFor(() => expect(screen.queryByRole("link", { name: /^crm/ })).toBeNull());
    expect(here()).toBe("/dags/example?open=none");
    expect(await cell("extract, newest: 3 failed, 22 success")).toBeTruthy();
  });

  it("shows only what failed, and finds a task by a state", async () => {
    const { user, here } = open("/dags/example");
    await cell("load, newest: upstream failed");
    await user.click(screen.getByRole("checkbox", { name: "Failures only" }));
    await waitFor(() => expect(screen.queryByRole("link", { name: /^crm/ })).toBeNull());
    expect(here()).toBe("/dags/example?failed=1");
    await user.type(screen.getByRole("searchbox", { name: "Task or state" }), "upstream");
    await waitFor(() => expect(screen.queryByRole("link", { name: /^files/ })).toBeNull());
    expect(screen.getByText("1 of 3 tasks")).toBeTruthy();
  });

  it("goes from failure to failure, and over the cells by keyboard", async () => {
    const { user } = open("/dags/example");
    await cell("load, newest: upstream failed");
    await user.keyboard("n");
    await waitFor(() => expect(document.activeElement?.getAttribute("aria-label")).toMatch(/^files, newest/));
    await user.keyboard("{ArrowLeft}");
    await waitFor(() => expect(document.activeElement?.getAttribute("aria-label")).toMatch(/^files, older/));
    await user.keyboard("{Shift>}{ArrowDown}{/Shift}");
    await waitFor(() => expect(document.activeElement?.getAttribute("aria-label")).toMatch(/^load, older/));
    // One link of the grid is in the tab order.
    const stops = within(screen.getByRole("grid"))
      .getAllByRole("link")
      .filter((link) => link.tabIndex === 0);
    expect(stops).toHaveLength(1);
  });

  it("says what to do when nothing has run, and when it could not be read", async () => {
    server.use(http.get("*/ui/grid/example", () => HttpResponse.json({ ...grid, runs: [], cells: {} })));
    const { unmount } = open("/dags/example");
    expect(await screen.findByText("This DAG has never run.")).toBeTruthy();
    unmount();
    server.use(http.get("*/ui/grid/example", () => HttpResponse.json({ detail: "No such thing" }, { status: 404 })));
    open("/dags/example");
    expect(await screen.findByText("No such thing")).toBeTruthy();
    expect(screen.getByRole("heading", { level: 1, name: "example" })).toBeTruthy();
  });
});
