import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, expect, it } from "vitest";

import { dag, run, task } from "../../testing/fixtures";
import { world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

/** What was asked of the server about runs, without the reading of them. */
let asked: unknown[] = [];

beforeEach(() => {
  asked = [];
  world.dags = [dag("etl")];
  world.runs = [
    run("etl", "one", { state: "failed" }),
    run("etl", "two", { state: "failed" }),
    run("etl", "three", { state: "success" }),
  ];
  const failed = ["one", "two"].map((dag_run_id) => task("load", { dag_id: "etl", dag_run_id, state: "failed" }));
  const all = [...failed, task("load", { dag_id: "etl", dag_run_id: "three" })];
  server.use(
    http.post("*/taskInstances/list", () => HttpResponse.json({ task_instances: [], total_entries: 0 })),
    http.post("*/api/v2/dags/etl/clearDagRuns", async ({ request }) => {
      const body = (await request.json()) as { only_failed: boolean };
      asked.push(body);
      const tasks = body.only_failed ? failed : all;
      return HttpResponse.json({ task_instances: tasks, total_entries: tasks.length });
    }),
    http.patch("*/api/v2/dags/etl/dagRuns", async ({ request }) => {
      asked.push(await request.json());
      return HttpResponse.json({ create: null, update: null, delete: null });
    }),
  );
});

async function select(...ids: string[]) {
  const view = open("/dags/etl/runs");
  for (const id of ids) await view.user.click(await screen.findByRole("checkbox", { name: `Select ${id}` }));
  return view;
}

const of = (...ids: string[]) => ids.map((dag_run_id) => ({ dag_id: "etl", dag_run_id }));

it("clears the runs that are selected after saying how many tasks that is, of each run and together", async () => {
  const { user } = await select("one", "two", "three");
  const bar = within(screen.getByRole("toolbar", { name: "3 runs selected" }));
  await user.click(bar.getByRole("button", { name: "Clear…" }));
  const sheet = within(await screen.findByRole("dialog", { name: "Clear 3 runs" }));
  expect(await sheet.findByRole("button", { name: "Clear 2 task instances of 2 runs" })).toBeTruthy();
  const affected = within(sheet.getByRole("list", { name: "What is affected" }));
  const counts = () => affected.getAllByRole("listitem").map((item) => /\d+ task.*$/.exec(item.textContent)?.[0]);
  expect(counts()).toEqual(["1 task instance", "1 task instance", "0 task instances"]);
  await user.click(sheet.getByRole("radio", { name: "All" }));
  const clear = await sheet.findByRole("button", { name: "Clear 3 task instances of 3 runs" });
  await expectAccessible(screen.getByRole("dialog"));
  await user.click(clear);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  const runs = of("one", "two", "three");
  expect(asked).toEqual([
    { dag_runs: runs, only_failed: true, dry_run: true },
    { dag_runs: runs, only_failed: false, dry_run: true },
    { dag_runs: runs, only_failed: false, dry_run: false },
  ]);
  expect(screen.queryByRole("toolbar", { name: /selected/ })).toBeNull();
});

it("marks only those that are not so already, and says how many are", async () => {
  const { user } = await select("one", "three");
  await user.click(screen.getByRole("button", { name: "Mark success…" }));
  const sheet = within(await screen.findByRole("dialog", { name: "Mark 1 run as success" }));
  expect(within(sheet.getByRole("list")).getAllByRole("listitem")).toHaveLength(1);
  expect(sheet.getByText("1 is success already.")).toBeTruthy();
  await user.click(sheet.getByRole("button", { name: "Mark 1 run as success" }));
  await waitFor(() => expect(asked).toHaveLength(1));
  const entities = of("one").map((each) => ({ ...each, state: "success" }));
  expect(asked[0]).toEqual({ actions: [{ action: "update", action_on_non_existence: "skip", entities }] });
});

it("deletes after saying that it cannot be undone; Escape leaves all as it is, what failed is said", async () => {
  server.use(
    http.patch("*/api/v2/dags/etl/dagRuns", async ({ request }) => {
      asked.push(await request.json());
      return HttpResponse.json({ delete: { success: [], errors: [{ error: "The run two is running" }] } });
    }),
  );
  const { user } = await select("two");
  await user.click(screen.getByRole("button", { name: "Delete…" }));
  await screen.findByRole("dialog", { name: "Delete 1 run" });
  await user.keyboard("{Escape}");
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(asked).toEqual([]);
  await user.click(screen.getByRole("button", { name: "Delete…" }));
  const sheet = within(await screen.findByRole("dialog", { name: "Delete 1 run" }));
  expect(sheet.getByText(/cannot be undone/)).toBeTruthy();
  await user.click(sheet.getByRole("button", { name: "Delete 1 run" }));
  expect(await sheet.findByText("The run two is running")).toBeTruthy();
  expect(asked).toEqual([{ actions: [{ action: "delete", action_on_non_existence: "skip", entities: of("two") }] }]);
});

it("what a role may not do to runs is shown, with the reason", async () => {
  world.me = { username: "v", role: "viewer", permissions: ["Read:Dag", "Read:DagRun"] };
  await select("one");
  const button = screen.getByRole("button", { name: "Delete…" });
  await waitFor(() => expect(button.getAttribute("aria-disabled")).toBe("true"));
});
