import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { expect, it } from "vitest";

import type { AuditRow } from "../../api/queries";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const row = (id: number, over: Partial<AuditRow> = {}): AuditRow => ({
  event_log_id: id,
  when: "2026-11-20T08:00:00Z",
  dag_id: null,
  task_id: null,
  run_id: null,
  map_index: null,
  try_number: null,
  event: "login",
  logical_date: null,
  owner: "Li",
  extra: null,
  dag_display_name: null,
  task_display_name: null,
  ...over,
});

function load(rows: AuditRow[]) {
  const asked: URLSearchParams[] = [];
  server.use(
    http.get("*/api/v2/eventLogs", ({ request }) => {
      asked.push(new URL(request.url).searchParams);
      return HttpResponse.json({ event_logs: rows, total_entries: rows.length });
    }),
  );
  return asked;
}

it("tells each row as a sentence that leads to what it is about", async () => {
  load([
    row(1, { event: "patch_dag", dag_id: "payments_sync", extra: '{"is_paused":true,"method":"PATCH"}' }),
    row(2, { event: "patch_pool", extra: '{"pool":"db","slots":{"before":3,"after":5}}' }),
    row(3, { event: "shave_yak" }),
  ]);
  const { container } = open("/audit");
  const entries = within(await screen.findByRole("list", { name: "Audit log" })).getAllByRole("listitem");
  const told = entries.map((entry) => entry.textContent);
  expect(told.find((text) => text?.includes("paused payments_sync"))).toMatch(/^Li/);
  expect(told.find((text) => text?.includes("changed the pool db"))).toContain("slots: 3 → 5");
  expect(told.some((text) => text?.includes("did shave_yak"))).toBe(true);
  expect(screen.getByRole("link", { name: "payments_sync" }).getAttribute("href")).toBe("/dags/payments_sync");
  await expectAccessible(container);
});

it("shows people only unless asked, and keeps its filters in the address", async () => {
  const asked = load([]);
  const { user, here } = open("/audit");
  expect(await screen.findByText("Nobody has done anything here yet.")).toBeTruthy();
  expect(asked.at(-1)?.get("owner_pattern")).toBe("%");
  await user.click(screen.getByRole("checkbox", { name: "Also what the server did by itself" }));
  await waitFor(() => expect(asked.at(-1)?.has("owner_pattern")).toBe(false));
  expect(here()).toBe("/audit?all=1");
  await user.type(screen.getByRole("searchbox", { name: "Who" }), "Li");
  await waitFor(() => expect(asked.at(-1)?.get("owner_pattern")).toBe("Li"));
  expect(await screen.findByText("Nothing matches these filters.")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Clear the filters" }));
  await waitFor(() => expect(here()).toBe("/audit"));
});
