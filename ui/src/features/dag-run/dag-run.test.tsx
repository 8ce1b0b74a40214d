import { screen, waitFor, within } from "@testing-library/react";
import { beforeEach, describe, expect, it } from "vitest";

import { run, task, waitingTask } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { sent, world } from "../../testing/handlers";

const ADDRESS = "/dags/example/runs/manual__1";

beforeEach(() => {
  world.runs = [run("example", "manual__1", { state: "running", end_date: null, duration: null })];
});

const row = async (name: string) => {
  const found = (await screen.findByText(name)).closest("tr");
  if (found === null) throw new Error(`${name} is not in a table`);
  return within(found);
};

describe("the page of a run", () => {
  it("shows state, try, node and duration of each task", async () => {
    world.tasks = [task("extract", { hostname: "n2", state: "failed" })];
    const { container } = open(ADDRESS);
    const extract = await row("extract");
    for (const text of ["failed", "1 of 2", "n2", "4.2 s", "BashOperator"])
      expect(extract.getByText(text)).toBeTruthy();
    const log = extract.getByRole("link", { name: "Log of extract" });
    expect(log.getAttribute("href")).toBe("/dags/example/runs/manual__1/tasks/extract/logs/1");
    await expectAccessible(container);
  });

  it("says why a task waits", async () => {
    world.tasks = [waitingTask("load")];
    world.reasons = { load: [{ code: "something_new", used: 5, who: "db" }] };
    open(ADDRESS);
    const load = await row("load");
    expect(await load.findByText("something new (used: 5, who: db)")).toBeTruthy();
    expect(load.getByText("no status")).toBeTruthy();
    expect(load.queryByRole("link", { name: /Log/ })).toBeNull();
  });

  it("asks for the reasons of many waiting tasks only on demand", async () => {
    world.tasks = Array.from({ length: 21 }, (_, n) => waitingTask(`t${n}`));
    world.reasons = { t20: [{ code: "late" }] };
    const { user } = open(ADDRESS);
    const button = await screen.findByRole("button", { name: /^Why is/ });
    expect(button.getAttribute("aria-label")).toBe("Why is t20 waiting?");
    await user.click(button);
    expect(await screen.findByText("late")).toBeTruthy();
  });

  it("shows what clearing a task would run again before it does", async () => {
    world.tasks = [task("extract"), task("load")];
    const { user } = open(ADDRESS);
    await user.click(await screen.findByRole("button", { name: "Clear or retry extract" }));
    const dialog = within(await screen.findByRole("dialog", { name: "Clear extract" }));
    expect(await dialog.findByRole("button", { name: "Clear 2 tasks" })).toBeTruthy();
    await expectAccessible(document.body);
    await user.click(dialog.getByRole("checkbox", { name: "Also everything downstream" }));
    await user.click(await dialog.findByRole("button", { name: "Clear 1 task" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(sent.map(({ body }) => body)).toEqual([
      { dry_run: true, dag_run_id: "manual__1", only_failed: false, include_downstream: true, task_ids: ["extract"] },
      { dry_run: true, dag_run_id: "manual__1", only_failed: false, include_downstream: false, task_ids: ["extract"] },
      { dry_run: false, dag_run_id: "manual__1", only_failed: false, include_downstream: false, task_ids: ["extract"] },
    ]);
  });

  it("clears one instance of a mapped task by its index", async () => {
    world.tasks = [task("parse", { map_index: 3 })];
    const { user } = open(ADDRESS);
    await user.click(await screen.findByRole("button", { name: "Clear or retry parse [3]" }));
    await waitFor(() => expect(sent[0]?.body).toMatchObject({ task_ids: [["parse", 3]] }));
  });

  it("retries everything that failed", async () => {
    world.tasks = [task("a"), task("b", { state: "failed" }), waitingTask("c", { state: "upstream_failed" })];
    const { user } = open(ADDRESS);
    await user.click(await screen.findByRole("button", { name: "Retry 2 failed tasks" }));
    await user.click(await screen.findByRole("button", { name: "Clear 2 tasks" }));
    await waitFor(() => expect(sent).toHaveLength(2));
    expect(sent[1]?.body).toEqual({
      dry_run: false,
      dag_run_id: "manual__1",
      only_failed: true,
      include_downstream: false,
    });
  });
});

it("the list of all runs names the DAG of each", async () => {
  world.runs.push(run("other", "scheduled__1", { run_type: "scheduled" }));
  const { container } = open("/runs");
  expect(await screen.findByRole("link", { name: "other" })).toBeTruthy();
  expect(screen.getByRole("link", { name: "scheduled__1" })).toBeTruthy();
  await expectAccessible(container);
});
