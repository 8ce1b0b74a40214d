import { expect, it } from "vitest";

import { brief, pieces, told, type AuditFacts } from "./audit";
import { catalogue } from "./strings";

const row = (event: string, extra: unknown = null): AuditFacts => ({
  event,
  owner: "Li",
  dag_id: "payments_sync",
  run_id: null,
  task_id: null,
  map_index: null,
  extra: extra === null ? null : JSON.stringify(extra),
});

it("one event may be one of several deeds", () => {
  expect(told(row("patch_dag", { is_paused: true, method: "PATCH" }))).toEqual({
    key: "pause_dag",
    name: null,
    count: null,
    changes: [],
  });
  expect(told(row("patch_dag", { is_paused: false })).key).toBe("unpause_dag");
  expect(told(row("paused", { is_paused: true, reason: "x" })).key).toBe("paused_after_failures");
  expect(told(row("patch_task_instance", { new_state: "failed" })).key).toBe("patch_task_instance_failed");
  expect(told(row("patch_dag_run", { state: null, note: "why" })).key).toBe("patch_dag_run_note");
});

it("names what it is about, and keeps what changed", () => {
  expect(told(row("patch_pool", { pool: "db", slots: 5, description: null, method: "PATCH" }))).toEqual({
    key: "patch_pool",
    name: "db",
    count: null,
    changes: [{ what: "slots", before: undefined, after: 5 }],
  });
  expect(told(row("post_clear_task_instances", { cleared: 4, only_failed: true })).count).toBe(4);
});

it("shows before and after where both are known", () => {
  expect(told(row("patch_pool", { pool: "db", slots: { before: 3, after: 5 } })).changes).toEqual([
    { what: "slots", before: 3, after: 5 },
  ]);
  expect(told(row("patch_pool", { before: { slots: 3, a: 1 }, after: { slots: 5, a: 1 } })).changes).toEqual([
    { what: "slots", before: 3, after: 5 },
  ]);
});

it("an extra that is no object says nothing", () => {
  expect(told({ ...row("login"), extra: "{" }).changes).toEqual([]);
  expect(told(row("login", [1])).changes).toEqual([]);
});

it("sentences fall into text and places", () => {
  expect(pieces("cleared {count} of {run}, all")).toEqual([
    { kind: "text", text: "cleared " },
    { kind: "slot", slot: "count" },
    { kind: "text", text: " of " },
    { kind: "slot", slot: "run" },
    { kind: "text", text: ", all" },
  ]);
  expect(brief({ a: "x".repeat(200) })).toHaveLength(80);
});

it("both languages have the same places in each sentence", () => {
  const slots = (text: string | undefined) =>
    pieces(text ?? "")
      .flatMap((piece) => (piece.kind === "slot" ? [piece.slot] : []))
      .toSorted();
  const { en, zh } = { en: catalogue.en.audit.deeds, zh: catalogue.zh.audit.deeds };
  expect(Object.keys(zh)).toEqual(Object.keys(en));
  for (const [key, text] of Object.entries(en)) expect([key, slots(zh[key])]).toEqual([key, slots(text)]);
});
