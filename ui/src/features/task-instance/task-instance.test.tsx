import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, describe, expect, it } from "vitest";

import type { Schemas } from "../../api/client";
import { run, task, waitingTask } from "../../testing/fixtures";
import { sent, world } from "../../testing/handlers";
import { logBytes, logOf } from "../../testing/log";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const TASK = "/dags/example/runs/manual__1/tasks/extract";

const facts = (try_number: number, over: Partial<Schemas["TryResponse"]> = {}): Schemas["TryResponse"] => ({
  try_number,
  state: "failed",
  hostname: "n1",
  pid: 1,
  exit_code: 1,
  failure_class: "exit_code",
  failure_reason: "The command ended with exit code 1.",
  image: null,
  image_digest: null,
  container_id: null,
  command: ["sh", "-c", "go now"],
  peak_memory: 64_000_000,
  last_error: null,
  ...over,
});

beforeEach(() => {
  world.runs = [run("example", "manual__1")];
  server.use(logOf("hello", "\u001b[31mred words\u001b[0m", "see https://example.org/a."));
});

describe("a task instance", () => {
  it("shows its log, with colours and links, and how it was run", async () => {
    world.tasks = [task("extract")];
    world.tries = [facts(1, { state: "success", exit_code: 0, failure_class: null, failure_reason: null })];
    const { container, user } = open(TASK);
    const lines = within(await screen.findByRole("region", { name: "Log lines" }));
    expect(await lines.findByText("hello")).toBeTruthy();
    expect(lines.getByText("red words").className).toBe("ansi-red");
    expect(lines.getByRole("link", { name: "https://example.org/a" })).toBeTruthy();
    expect(screen.getByText("3 lines")).toBeTruthy();
    expect(await screen.findByText("64 MB")).toBeTruthy();
    await user.click(screen.getByRole("button", { name: "More details" }));
    expect(screen.getByText("sh -c 'go now'")).toBeTruthy();
    await expectAccessible(container);
  });

  it("shows the error of a failed try above its log, own frames first", async () => {
    server.use(
      logOf(
        "start",
        "Traceback (most recent call last):",
        '  File "/app/job.py", line 7, in main',
        "    go()",
        '  File "/usr/lib/python3.12/site-packages/net.py", line 99, in send',
        "    raise",
        "ValueError: no such order",
      ),
    );
    world.tasks = [task("extract", { state: "failed" })];
    world.tries = [facts(1)];
    const { container } = open(TASK);
    const error = within(await screen.findByRole("region", { name: "Error" }));
    expect(error.getByText("ValueError")).toBeTruthy();
    expect(error.getByText("job.py:7")).toBeTruthy();
    expect(error.getByText("1 library frame")).toBeTruthy();
    expect(await error.findByText("exit_code")).toBeTruthy();
    await expectAccessible(container);
  });

  it("says what the server knows when the log says nothing", async () => {
    server.use(logBytes(() => ""));
    world.tasks = [task("extract", { state: "failed" })];
    world.tries = [facts(1, { failure_reason: "The kernel killed it.", failure_class: "oom_killed" })];
    open(TASK);
    expect(await screen.findByText("The kernel killed it.")).toBeTruthy();
    expect(screen.getByText("This try wrote nothing.")).toBeTruthy();
  });

  it("leads to the logs of earlier tries", async () => {
    world.tasks = [task("extract", { try_number: 3 })];
    world.tries = [facts(1), facts(2), facts(3, { state: "success" })];
    open(TASK);
    const second = await screen.findByRole("link", { name: "Try 2: failed" });
    expect(second.getAttribute("href")).toBe(`${TASK}/logs/2`);
    expect(screen.getByRole("link", { name: "Try 3: success" }).getAttribute("aria-current")).toBe("page");
  });

  it("says why it waits, who holds what it needs, and where to go", async () => {
    world.tasks = [waitingTask("extract")];
    world.reasons = { extract: [{ code: "pool_full", pool: "db", used: 1, slots: 1, needs: 1 }] };
    const holder = { dag_id: "other", dag_run_id: "r", task_id: "big", map_index: -1, since: "2026-11-22T07:00:00Z" };
    server.use(http.get("*/ui/pools", () => HttpResponse.json({ pools: [{ name: "db", holders: [holder] }] })));
    const { container } = open(TASK);
    const why = within(await screen.findByRole("region", { name: "Why it waits" }));
    expect(await why.findByText(/The pool db is full/)).toBeTruthy();
    expect((await why.findByRole("link", { name: "other › big" })).getAttribute("href")).toContain("/tasks/big");
    expect(why.getByRole("link", { name: "Open the pool db" })).toBeTruthy();
    expect(screen.getByText("This task has not run yet; why is said above.")).toBeTruthy();
    await expectAccessible(container);
  });

  it("follows a running try and reads only what is new", async () => {
    let text = `${JSON.stringify({ event: "one", level: "info" })}\n`;
    server.use(logBytes(() => text));
    world.tasks = [task("extract", { state: "running", end_date: null, duration: null })];
    open(TASK);
    expect(await screen.findByText("one")).toBeTruthy();
    text += `${JSON.stringify({ event: "two", level: "info" })}\n`;
    expect(await screen.findByText("two")).toBeTruthy();
    expect(screen.getByText("one")).toBeTruthy();
  });

  it("searches, and shows only what matches; both are in the address", async () => {
    world.tasks = [task("extract")];
    const { user, here } = open(TASK);
    await screen.findByText("hello");
    await user.type(screen.getByRole("searchbox", { name: "Search the log" }), "words");
    const toolbar = within(screen.getByRole("toolbar"));
    await waitFor(() => expect(toolbar.getByRole("status").textContent).toBe("1"));
    await user.click(screen.getByRole("checkbox", { name: "Only matching lines" }));
    expect(here()).toBe(`${TASK}?find=words&only=1`);
    await waitFor(() => expect(screen.queryByText("hello")).toBeNull());
    expect(screen.getByText("1 of 3 lines")).toBeTruthy();
  });

  it("clears with what comes behind it, or without, as the preview says", async () => {
    world.tasks = [task("extract"), task("load", { duration: 60 }), task("report")];
    const { user } = open(TASK);
    await user.click(await screen.findByRole("button", { name: "Clear extract" }));
    const sheet = within(await screen.findByRole("dialog", { name: "Clear extract" }));
    expect(await sheet.findByRole("button", { name: "Clear 3 tasks" })).toBeTruthy();
    const names = () =>
      within(sheet.getByRole("list", { name: "What will run again" }))
        .getAllByRole("checkbox")
        .map((box) => box.getAttribute("aria-label"));
    expect(names()).toEqual(["With extract", "With load", "With report"]);
    await expectAccessible(screen.getByRole("dialog"));
    await user.click(sheet.getByRole("checkbox", { name: "Downstream" }));
    await user.type(sheet.getByRole("textbox", { name: /^Why/ }), "late data");
    await user.click(await sheet.findByRole("button", { name: "Clear 1 task" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    const bodies = sent.map(({ body }) => body as Record<string, unknown>);
    expect(bodies.map(({ dry_run, include_downstream }) => [dry_run, include_downstream])).toEqual([
      [true, true],
      [true, false],
      [false, false],
    ]);
    expect(bodies.at(-1)).toMatchObject({ task_ids: ["extract"], note: "late data" });
  });

  it("asks the person it waits for, and sends the answer", async () => {
    const waiting = task("extract", { state: "awaiting_input", end_date: null, duration: null });
    world.tasks = [waiting];
    const question: Schemas["HITLDetail"] = {
      options: ["Approve", "Reject"],
      subject: "Publish the report?",
      body: "It has 3 empty rows.",
      defaults: null,
      multiple: false,
      params: {},
      assigned_users: [{ id: "1", name: "ann" }],
      created_at: "2026-11-22T08:00:00Z",
      responded_by_user: null,
      responded_at: null,
      chosen_options: null,
      params_input: {},
      response_received: false,
      task_instance: waiting,
    };
    const answers: unknown[] = [];
    server.use(
      http.get("*/taskInstances/extract/-1/hitlDetails", () => HttpResponse.json({ ...question })),
      http.patch("*/taskInstances/extract/-1/hitlDetails", async ({ request }) => {
        answers.push(await request.json());
        world.tasks = [task("extract")];
        return HttpResponse.json({});
      }),
    );
    const { container, user } = open(TASK);
    const card = within(await screen.findByRole("region", { name: "It asks a person" }));
    expect(card.getByRole("heading", { name: "Publish the report?" })).toBeTruthy();
    expect(card.getByText("It has 3 empty rows.")).toBeTruthy();
    expect(card.getByText(/ann/)).toBeTruthy();
    await expectAccessible(container);
    await user.click(card.getByRole("button", { name: "Reject" }));
    await waitFor(() => expect(answers).toEqual([{ chosen_options: ["Reject"], params_input: {} }]));
    await waitFor(() => expect(screen.queryByRole("region", { name: "It asks a person" })).toBeNull());
  });

  it("marks with a preview", async () => {
    world.tasks = [task("extract")];
    const marked: unknown[] = [];
    server.use(
      http.patch("*/taskInstances/extract/dry_run", () =>
        HttpResponse.json({ task_instances: [task("extract")], total_entries: 1 }),
      ),
      http.patch("*/taskInstances/extract", async ({ request }) => {
        marked.push(await request.json());
        return HttpResponse.json({ task_instances: [task("extract")], total_entries: 1 });
      }),
    );
    const { user } = open(TASK);
    await user.click(await screen.findByRole("button", { name: "Mark" }));
    await user.click(await screen.findByRole("menuitem", { name: "Mark failed", hidden: true }));
    const sheet = within(await screen.findByRole("dialog", { name: "Mark extract failed" }));
    await user.type(sheet.getByRole("textbox", { name: /^Why/ }), "wrong data");
    await user.click(await sheet.findByRole("button", { name: "Mark 1 task failed" }));
    await waitFor(() => expect(marked).toHaveLength(1));
    expect(marked[0]).toMatchObject({ new_state: "failed", note: "wrong data", include_downstream: false });
  });

  it("shows outputs: lists of objects as tables, the rest as trees", async () => {
    world.tasks = [task("extract")];
    const at = "2026-11-22T08:00:00Z";
    const entry = {
      key: "return_value",
      timestamp: at,
      map_index: -1,
      task_id: "extract",
      dag_id: "example",
      run_id: "manual__1",
    };
    server.use(
      http.get("*/taskInstances/extract/xcomEntries", () =>
        HttpResponse.json({ xcom_entries: [entry], total_entries: 1 }),
      ),
      http.get("*/taskInstances/extract/xcomEntries/return_value", () =>
        HttpResponse.json({
          ...entry,
          value: [
            { id: 1, name: "a" },
            { id: 2, name: "b" },
          ],
        }),
      ),
    );
    const { container } = open(`${TASK}/xcoms`);
    const table = within(await screen.findByRole("table", { name: "return_value" }));
    expect(table.getByRole("columnheader", { name: "name" })).toBeTruthy();
    await expectAccessible(container);
  });
});

describe("a mapped task", () => {
  it("groups what failed by its error and retries just that", async () => {
    world.tasks = [
      task("extract", { map_index: 0, rendered_map_index: "a.png" }),
      task("extract", { map_index: 1, rendered_map_index: "b.png", state: "failed" }),
      task("extract", { map_index: 2, rendered_map_index: "c.png", state: "failed" }),
    ];
    server.use(logOf("ValueError: no decoder for 'x'"));
    const { container, user } = open(TASK);
    const groups = within(await screen.findByRole("region", { name: "What failed" }));
    expect(await groups.findByText("2 ×")).toBeTruthy();
    expect(await groups.findByText("ValueError: no decoder for 'x'")).toBeTruthy();
    await expectAccessible(container);
    await user.click(groups.getByRole("button", { name: "Retry the 2 failed" }));
    await screen.findByRole("dialog", { name: "Retry what failed" });
    await waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]?.body).toMatchObject({
      task_ids: [
        ["extract", 1],
        ["extract", 2],
      ],
      only_failed: true,
    });
  });
});
