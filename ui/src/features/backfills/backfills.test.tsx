import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, expect, it } from "vitest";

import type { Backfill } from "../../api/queries";
import { dag, dagDetails } from "../../testing/fixtures";
import { world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const backfill = (over: Partial<Backfill> = {}): Backfill => ({
  id: 3,
  dag_id: "etl",
  from_date: "2026-11-01T00:00:00Z",
  to_date: "2026-11-10T23:59:59Z",
  dag_run_conf: null,
  is_paused: false,
  reprocess_behavior: "failed",
  max_active_runs: 2,
  created_at: "2026-11-22T08:00:00Z",
  completed_at: null,
  updated_at: "2026-11-22T08:00:00Z",
  dag_display_name: "etl",
  ...over,
});

let asked: unknown[] = [];

function load(backfills: Backfill[] = []) {
  asked = [];
  world.dags = [dag("etl")];
  world.details = [dagDetails("etl", { timezone: "UTC", max_active_runs: 4 })];
  const counts: Record<string, number> = { success: 6, failed: 1, running: 2, queued: 1 };
  server.use(
    http.get("*/api/v2/backfills", () => HttpResponse.json({ backfills, total_entries: backfills.length })),
    http.get("*/api/v2/dags/:dagId/dagRuns", ({ request }) => {
      const search = new URL(request.url).searchParams;
      const state = search.get("state") ?? "";
      return HttpResponse.json({
        dag_runs: [],
        total_entries: search.get("run_type") === "backfill" ? (counts[state] ?? 10) : 0,
      });
    }),
    http.post("*/api/v2/backfills/dry_run", async ({ request }) => {
      const body = (await request.json()) as { reprocess_behavior: string };
      const dates = body.reprocess_behavior === "none" ? ["2026-11-02"] : ["2026-11-01", "2026-11-02"];
      return HttpResponse.json({
        backfills: dates.map((day) => ({
          logical_date: `${day}T00:00:00Z`,
          partition_key: null,
          partition_date: null,
        })),
        total_entries: dates.length,
      });
    }),
    http.post("*/api/v2/backfills", async ({ request }) => {
      asked.push(await request.json());
      return HttpResponse.json(backfill());
    }),
    http.put("*/api/v2/backfills/:id/:what", ({ params }) => {
      asked.push(`${String(params["id"])} ${String(params["what"])}`);
      return HttpResponse.json(backfill());
    }),
  );
}

beforeEach(() => load());

it("counts what would run while the dates are chosen, and the button says so", async () => {
  const { user } = open("/dags/etl/backfills?new=1");
  await user.type(await screen.findByLabelText(/^From/), "2026-11-01");
  await user.type(screen.getByLabelText(/^To/), "2026-11-02");
  expect(await screen.findByRole("button", { name: "Backfill 1 run" })).toBeTruthy();
  await user.click(screen.getByRole("radio", { name: "All" }));
  await user.click(await screen.findByRole("button", { name: "Backfill 2 runs" }));
  await waitFor(() => expect(asked).toHaveLength(1));
  expect(asked[0]).toMatchObject({
    dag_id: "etl",
    from_date: "2026-11-01T00:00:00.000Z",
    to_date: "2026-11-02T23:59:59.000Z",
    reprocess_behavior: "completed",
    max_active_runs: 4,
  });
});

it("says why it cannot begin", async () => {
  const { user } = open("/dags/etl/backfills?new=1");
  await user.type(await screen.findByLabelText(/^From/), "2026-11-03");
  await user.type(screen.getByLabelText(/^To/), "2026-11-01");
  expect(screen.getByText("“To” must not be before “From”.")).toBeTruthy();
});

it("shows how far each is, with links to its runs, and stops it", async () => {
  load([backfill()]);
  const { user, container } = open("/dags/etl/backfills");
  const bar = await screen.findByRole("progressbar");
  await waitFor(() => expect(bar.getAttribute("aria-valuetext")).toBe("7 of 10 finished"));
  expect(screen.getByRole("link", { name: "1 failed" }).getAttribute("href")).toContain("state=failed");
  await user.click(screen.getByRole("button", { name: /^Pause: / }));
  await waitFor(() => expect(asked).toEqual(["3 pause"]));
  await user.click(screen.getByRole("button", { name: /^Cancel: / }));
  const dialog = await screen.findByRole("dialog");
  expect(await within(dialog).findByText(/^1 queued run will fail/)).toBeTruthy();
  await expectAccessible(container);
  await user.click(within(dialog).getByRole("button", { name: "Cancel" }));
  await waitFor(() => expect(asked).toEqual(["3 pause", "3 cancel"]));
});
