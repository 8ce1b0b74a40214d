import { screen, waitFor } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { expect, it } from "vitest";

import type { Asset } from "../../api/queries";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const when = { created_at: "2026-11-20T08:00:00Z", updated_at: "2026-11-20T08:00:00Z" };
const asset = (id: number, name: string, over: Partial<Asset> = {}): Asset => ({
  id,
  name,
  uri: name,
  group: "asset",
  extra: {},
  ...when,
  scheduled_dags: [],
  producing_tasks: [],
  consuming_tasks: [],
  aliases: [],
  watchers: [],
  last_asset_event: null,
  ...over,
});

it("lists who makes and who waits, and reports an update with its extra", async () => {
  const sent: unknown[] = [];
  const assets = [
    asset(1, "s3://lake/orders", {
      producing_tasks: [{ dag_id: "etl", task_id: "load", ...when }],
      scheduled_dags: [{ dag_id: "report", ...when }],
    }),
    asset(2, "s3://lake/manual"),
  ];
  server.use(
    http.get("*/api/v2/assets", () => HttpResponse.json({ assets, total_entries: 2 })),
    http.post("*/api/v2/assets/events", async ({ request }) => {
      sent.push(await request.json());
      return HttpResponse.json({});
    }),
  );
  const { user, container } = open("/assets");
  expect((await screen.findByRole("link", { name: "etl › load" })).getAttribute("href")).toBe("/dags/etl");
  // Nobody makes the other one: the button says so.
  expect(
    screen.getByRole("button", { name: "Run the DAG that makes s3://lake/manual" }).getAttribute("aria-disabled"),
  ).toBe("true");
  await expectAccessible(container);
  await user.click(screen.getByRole("button", { name: "Report an update of s3://lake/manual" }));
  const extra = await screen.findByRole("textbox", { name: "Extra, for those who read the event" });
  await user.clear(extra);
  await user.type(extra, '{{"rows": 5}');
  await user.click(screen.getByRole("button", { name: "Report an update" }));
  await waitFor(() => expect(sent).toEqual([{ asset_id: 2, extra: { rows: 5 } }]));
});
