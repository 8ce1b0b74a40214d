import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { describe, expect, it } from "vitest";

import type { Executor, FileErrors, Pool } from "../../api/queries/admin";
import { NOW } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";
import { connectionsIn, variablesIn } from "./entities";

const node: Executor & { attempts: [] } = {
  id: 1,
  name: "n1",
  hostname: "host-1",
  state: "active",
  is_drained: false,
  version: "0.1.0",
  slots: 8,
  used: 3,
  weight: 1,
  labels: { gpu: "true" },
  queues: ["default"],
  runners: [],
  stats: { cpu: 1.5, memory_free: 2e9, disk_free: 5e10 },
  registered_at: NOW,
  last_poll: NOW,
  attempts: [],
};

const pool = (over: Partial<Pool> = {}): Pool => ({
  name: "db",
  slots: 2,
  description: null,
  include_deferred: false,
  occupied: 2,
  running: 2,
  queued: 0,
  scheduled: 1,
  deferred: 0,
  open: 0,
  holders: [
    { dag_id: "etl", dag_run_id: "r1", task_id: "load", map_index: -1, since: NOW, pool_slots: 1, priority_weight: 1 },
  ],
  waiting: [
    { dag_id: "etl", dag_run_id: "r2", task_id: "load", map_index: -1, since: NOW, pool_slots: 1, priority_weight: 3 },
  ],
  ...over,
});

it("drains a node after saying what that means", async () => {
  const done: string[] = [];
  server.use(
    http.get("*/ui/executors", () => HttpResponse.json({ executors: [node], total_entries: 1 })),
    http.post("*/ui/executors/n1/drain", () => {
      done.push("drain");
      return HttpResponse.json({ ...node, is_drained: true });
    }),
  );
  const { container, user } = open("/nodes");
  expect(await screen.findByText("gpu: true")).toBeTruthy();
  expect(screen.getByText("2.0 GB")).toBeTruthy();
  await expectAccessible(container);
  await user.click(screen.getByRole("button", { name: "Drain" }));
  const sheet = within(await screen.findByRole("dialog", { name: "Drain n1?" }));
  expect(sheet.getByText(/3 tasks that it has go on/)).toBeTruthy();
  await user.click(sheet.getByRole("button", { name: "Drain n1" }));
  await waitFor(() => expect(done).toEqual(["drain"]));
});

it("shows who holds the slots of a full pool and who waits, the fullest first", async () => {
  const empty = pool({ name: "aaa", occupied: 0, running: 0, scheduled: 0, holders: [], waiting: [] });
  server.use(http.get("*/ui/pools", () => HttpResponse.json({ pools: [empty, pool()] })));
  const { container } = open("/pools");
  const names = (await screen.findAllByRole("heading", { level: 2 })).map((heading) => heading.textContent);
  expect(names).toEqual(["db", "aaa"]);
  const queue = within(screen.getByRole("region", { name: "Who waits" }));
  expect(queue.getByRole("link").getAttribute("href")).toBe("/dags/etl/runs/r2/tasks/load");
  expect(screen.getByText("full")).toBeTruthy();
  await expectAccessible(container);
});

it("shows each error of a file with its place and a caret", async () => {
  const file: FileErrors = {
    import_error_id: 1,
    filename: "etl.yaml",
    bundle_name: "dags",
    timestamp: NOW,
    last_good_version: 4,
    dag_ids: ["etl"],
    stack_trace: "",
    errors: [
      {
        code: "unknown_dependency",
        severity: "error",
        file: "etl.yaml",
        dag_id: "etl",
        task_id: "pull",
        line: 9,
        column: 3,
        end_line: 9,
        end_column: 6,
        message: "no task pul",
        help: "did you mean pull?",
        excerpt: [{ line: 9, text: "  pul" }],
      },
    ],
  };
  server.use(http.get("*/ui/import_errors", () => HttpResponse.json({ items: [file], total_entries: 1 })));
  const { container } = open("/import-errors");
  expect(await screen.findByText("9:3")).toBeTruthy();
  expect(screen.getByText(/^\^\^\^$/)).toBeTruthy();
  expect(screen.getByRole("link", { name: "etl" })).toBeTruthy();
  await expectAccessible(container);
});

it("never sends a password that was left alone", async () => {
  const stored = {
    connection_id: "db",
    conn_type: "postgres",
    description: null,
    host: "h",
    login: "me",
    schema: null,
    port: 5432,
    password: "***",
    extra: null,
    team_name: null,
  };
  const changes: { mask: string[]; body: unknown }[] = [];
  server.use(
    http.get("*/api/v2/connections", () => HttpResponse.json({ connections: [stored], total_entries: 1 })),
    http.patch("*/api/v2/connections/db", async ({ request }) => {
      changes.push({ mask: new URL(request.url).searchParams.getAll("update_mask"), body: await request.json() });
      return HttpResponse.json(stored);
    }),
  );
  const { user } = open("/connections");
  await user.click(await screen.findByRole("button", { name: "db" }));
  const sheet = within(await screen.findByRole("dialog", { name: "Edit db" }));
  const host = sheet.getByRole("textbox", { name: "Host" });
  await user.clear(host);
  await user.type(host, "other");
  await user.click(sheet.getByRole("button", { name: "Save" }));
  await waitFor(() => expect(changes).toHaveLength(1));
  expect(changes[0]?.mask).not.toContain("password");
  expect(changes[0]?.body).toMatchObject({ host: "other" });
  expect(changes[0]?.body).not.toHaveProperty("password");
});

it("shows a new token once", async () => {
  server.use(
    http.get("*/ui/tokens", () => HttpResponse.json({ tokens: [], total_entries: 0 })),
    http.post("*/ui/tokens", () => HttpResponse.json({ id: 1, name: "ci", token: "secret-text" }, { status: 201 })),
  );
  const { user } = open("/tokens");
  await user.click(await screen.findByRole("button", { name: "Create an API token" }));
  const sheet = within(await screen.findByRole("dialog"));
  await user.type(sheet.getByRole("textbox", { name: /Name/ }), "ci");
  await user.click(sheet.getByRole("button", { name: "Create the token" }));
  expect(await sheet.findByText("secret-text")).toBeTruthy();
  await user.click(sheet.getByRole("button", { name: "Done" }));
  await waitFor(() => expect(screen.queryByText("secret-text")).toBeNull());
});

describe("an import", () => {
  it("takes both shapes of variables", () => {
    expect(variablesIn('{"a": 1, "b": {"value": "x", "description": "d"}}')).toEqual([
      { key: "a", value: "1", description: null },
      { key: "b", value: "x", description: "d" },
    ]);
    expect(variablesIn('[{"key": "a", "value": {"n": 1}}]')).toEqual([{ key: "a", value: '{"n":1}' }]);
    expect(variablesIn("[1]")).toBeNull();
    expect(variablesIn("{")).toBeNull();
  });

  it("takes both shapes of connections, and an extra that is an object", () => {
    const one = { connection_id: "db", conn_type: "postgres", extra: '{"a":1}' };
    expect(connectionsIn('{"db": {"conn_type": "postgres", "extra": {"a": 1}, "get_uri": "x"}}')).toEqual([one]);
    expect(connectionsIn('[{"conn_id": "db", "conn_type": "postgres", "extra": "{\\"a\\":1}"}]')).toEqual([one]);
    expect(connectionsIn('["db"]')).toBeNull();
  });
});
