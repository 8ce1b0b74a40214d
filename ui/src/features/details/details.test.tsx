import { screen, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { expect, it } from "vitest";

import { preferences } from "../../lib/preferences";
import { dag, dagDetails } from "../../testing/fixtures";
import { world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const at = (run_after: string, offset: number, dst_change = false) => ({
  run_after,
  data_interval_start: null,
  data_interval_end: null,
  utc_offset_seconds: offset,
  dst_change,
});

it("tells the next times in both zones, and where the clocks change", async () => {
  preferences.setZone("UTC");
  world.dags = [dag("etl")];
  world.details = [dagDetails("etl", { timezone: "Europe/Berlin", doc_md: "# Why\nBecause of **orders**." })];
  const next = [at("2026-10-24T01:00:00Z", 7_200), at("2026-10-25T02:00:00Z", 3_600, true)];
  server.use(
    http.get("*/ui/schedule/:dagId", () =>
      HttpResponse.json({ timezone: "Europe/Berlin", summary: "0 3 * * *", description: "At 03:00", next }),
    ),
  );
  const { container } = open("/dags/etl/details");
  const table = await screen.findByRole("table", { name: "Next 2 runs" });
  const [, before, after] = within(table).getAllByRole("row");
  expect(before?.textContent).toContain("2026-10-24 01:00");
  expect(before?.textContent).toContain("2026-10-24 03:00 +02:00");
  expect(before?.textContent).not.toContain("clocks change");
  expect(after?.textContent).toContain("2026-10-25 03:00 +01:00");
  expect(after?.textContent).toContain("clocks change: now +01:00");
  expect(screen.getByRole("heading", { name: "Why" })).toBeTruthy();
  await expectAccessible(container);
  preferences.setZone(null);
});
