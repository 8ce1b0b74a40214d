import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, describe, expect, it } from "vitest";

import { run, task, waitingTask } from "../../testing/fixtures";
import { sent, world } from "../../testing/handlers";
import { logOf } from "../../testing/log";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const ADDRESS = "/dags/example/runs/manual__1";

beforeEach(() => {
  world.runs = [run("example", "manual__1", { state: "failed" })];
  server.use(
    logOf(
      "working\n",
      "Traceback (most recent call last):",
      '  File "/app/job.py", line 7, in main',
      "    go()",
      "ValueError: no such order",
    ),
  );
});

const row = async (name: string) => {
  const table = within(await screen.findByRole("table", { name: "Tasks" }));
  const found = table.getByRole("link", { name }).closest("tr");
  if (found === null) throw new Error(`${name} is not in a table`);
  return within(found);
};

describe("the page of a run", () => {
  it("says what broke, where its log says so, and what did not run because of it", async () => {
    world.tasks = [
      task("extract", { state: "failed", max_tries: 2, try_number: 3 }),
      task("load", { state: "upstream_failed", try_number: 0 }),
      task("start"),
    ];
    const { container } = open(ADDRESS);
    const causes = within(await screen.findByRole("region", { name: "Root cause" }));
    expect(await causes.findByText("ValueError: no such order")).toBeTruthy();
    expect(causes.getByText("job.py:7 main")).toBeTruthy();
    expect(causes.getByText("try 3 of 3")).toBeTruthy();
    expect(causes.getByRole("link", { name: "Open the log there" }).getAttribute("href")).toMatch(
      /^\/dags\/example\/runs\/manual__1\/tasks\/extract\/logs\/3#B\d+$/,
    );
    expect(causes.getByRole("link", { name: "load" })).toBeTruthy();
    expect(screen.getByText("Failed after 1 m 12 s")).toBeTruthy();
    expect((await row("extract")).getByText("3 of 3")).toBeTruthy();
    await expectAccessible(container);
  });

  it("says what is not as it was in the last good run", async () => {
    const versions = [4, 5].map((version_number) => ({
      id: `019ab000-0000-7000-8000-00000000000${version_number}`,
      version_number,
      dag_id: "example",
      bundle_name: "dags",
      bundle_version: null,
      created_at: "2026-11-22T08:00:00Z",
      dag_display_name: "example",
      bundle_url: null,
    }));
    world.runs = [
      run("example", "manual__1", { state: "failed", conf: { limit: 9 }, dag_versions: versions }),
      run("example", "good", { conf: { limit: 7 }, dag_versions: versions.slice(0, 1) }),
    ];
    world.tasks = [task("extract", { state: "failed", hostname: "n3" }), task("load", { duration: 60 })];
    const asked: unknown[] = [];
    server.use(
      http.post("*/dags/~/dagRuns/~/taskInstances/list", async ({ request }) => {
        asked.push(await request.json());
        return HttpResponse.json({
          task_instances: [task("extract"), task("load", { duration: 20 })],
          total_entries: 2,
        });
      }),
    );
    const { container } = open(ADDRESS);
    const section = await screen.findByRole("region", { name: "Compared with the last good run" });
    const facts = within(section);
    expect(facts.getByRole("link", { name: "4 → 5" }).getAttribute("href")).toBe(
      "/dags/example/code?version=5&compare=4",
    );
    const values = facts.getAllByRole("definition").map((value) => value.textContent);
    expect(values).toEqual(["4 → 5", "limit 7 → 9", "extract n1 → n3", "load 20 s → 1 m 00 s"]);
    expect(asked).toEqual([
      { dag_ids: ["example"], dag_run_ids: ["good"], task_ids: ["extract", "load"], page_limit: 100 },
    ]);
    await expectAccessible(container);
  });

  it("names a green run over failed tasks as one", async () => {
    world.runs = [run("example", "manual__1")];
    world.tasks = [task("extract", { state: "failed" })];
    open(ADDRESS);
    expect(await screen.findByText("Succeeded in 1 m 12 s, over 1 failed task")).toBeTruthy();
  });

  it("says why a task waits", async () => {
    world.runs = [run("example", "manual__1", { state: "running", end_date: null, duration: null })];
    world.tasks = [waitingTask("load")];
    world.reasons = { load: [{ code: "something_new", used: 5, who: "db" }] };
    open(ADDRESS);
    expect(await (await row("load")).findByText("something new (used: 5, who: db)")).toBeTruthy();
    expect(screen.getByText("Running: 0 of 1 tasks done")).toBeTruthy();
  });

  it("retries what failed after showing what that is", async () => {
    world.tasks = [task("extract", { state: "failed" }), task("load", { state: "upstream_failed" }), task("start")];
    const { user } = open(ADDRESS);
    await user.click(await screen.findByRole("button", { name: "Retry 2 failed tasks" }));
    const sheet = within(await screen.findByRole("dialog", { name: "Retry what failed" }));
    expect(await sheet.findByRole("button", { name: "Retry 2 tasks" })).toBeTruthy();
    await expectAccessible(document.body);
    await user.click(sheet.getByRole("checkbox", { name: "With load" }));
    await user.click(await sheet.findByRole("button", { name: "Retry 1 task" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    const [preview, done] = sent.map(({ body }) => body as Record<string, unknown>);
    expect(preview).toMatchObject({ dry_run: true, dag_run_id: "manual__1", only_failed: true });
    expect(done).toMatchObject({ dry_run: false, dag_run_id: "manual__1", only_failed: false, task_ids: ["extract"] });
  });

  it("clears one instance of a mapped task by its index", async () => {
    world.tasks = [task("parse", { map_index: 3 })];
    const { user } = open(ADDRESS);
    await user.click(await screen.findByRole("button", { name: "More for parse [3]" }));
    await user.click(await screen.findByRole("menuitem", { name: "Clear…", hidden: true }));
    expect(await screen.findByRole("button", { name: "Clear 1 task" })).toBeTruthy();
    expect(sent[0]?.body).toMatchObject({ task_ids: [["parse", 3]], include_downstream: true });
  });

  it("asks before it cancels, and says what will be stopped", async () => {
    world.runs = [run("example", "manual__1", { state: "running", end_date: null, duration: null })];
    world.tasks = [task("a"), waitingTask("b"), waitingTask("c")];
    const changes: unknown[] = [];
    server.use(
      http.patch("*/api/v2/dags/example/dagRuns/manual__1", async ({ request }) => {
        changes.push(await request.json());
        return HttpResponse.json(world.runs[0]);
      }),
    );
    const { user } = open(ADDRESS);
    await user.click(await screen.findByRole("button", { name: "Cancel the run" }));
    const sheet = within(await screen.findByRole("dialog", { name: "Cancel this run?" }));
    expect(sheet.getByText(/^2 tasks that are not done will be stopped/)).toBeTruthy();
    await user.click(sheet.getByRole("button", { name: "Cancel the run" }));
    await waitFor(() => expect(changes).toEqual([{ state: "failed" }]));
  });

  it("shows what a role may not do, with the reason", async () => {
    world.me = { username: "v", role: "viewer", permissions: ["Read:DagRun", "Read:TaskInstance"] };
    world.tasks = [task("extract", { state: "failed" })];
    open(ADDRESS);
    const button = await screen.findByRole("button", { name: "Retry 1 failed task" });
    await waitFor(() => expect(button.getAttribute("aria-disabled")).toBe("true"));
  });

  it("filters its tasks, in the address", async () => {
    world.tasks = [task("extract", { state: "failed" }), task("load")];
    const { user, here } = open(`${ADDRESS}?state=failed`);
    await row("extract");
    expect(within(screen.getByRole("table")).queryByRole("link", { name: "load" })).toBeNull();
    await user.selectOptions(screen.getByRole("combobox", { name: "State" }), "success");
    expect(here()).toBe(`${ADDRESS}?state=success`);
  });
});
