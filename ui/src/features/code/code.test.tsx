import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, expect, it } from "vitest";

import type { Schemas } from "../../api/client";
import { dag, dagDetails, NOW } from "../../testing/fixtures";
import { world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";

const version = (version_number: number): Schemas["DagVersionResponse"] => ({
  id: `019ab000-0000-7000-8000-00000000000${version_number}`,
  version_number,
  dag_id: "etl",
  bundle_name: "dags",
  bundle_version: null,
  created_at: NOW,
  dag_display_name: "etl",
  bundle_url: null,
});
const text: Record<string, string> = {
  1: "id: etl\ntasks:\n  - load: old\n",
  2: "id: etl\ntasks:\n  - load: new\n",
  3: "id: etl\ntasks:\n  - load: new\n",
};

beforeEach(() => {
  world.dags = [dag("etl")];
  world.details = [dagDetails("etl", { latest_dag_version: version(3) })];
  server.use(
    http.get("*/api/v2/dags/etl/dagVersions", () =>
      HttpResponse.json({ dag_versions: [version(3), version(2), version(1)], total_entries: 3 }),
    ),
    http.get("*/api/v2/dagSources/etl", ({ request }) => {
      const version_number = Number(new URL(request.url).searchParams.get("version_number"));
      return HttpResponse.json({ content: text[version_number], dag_id: "etl", version_number, dag_display_name: "" });
    }),
  );
});

it("shows the file of the newest version, and what changed since another one, both in the address", async () => {
  const { user, here } = open("/dags/etl/code");
  const file = await screen.findByRole("textbox", { name: "File of the DAG, version 3" });
  expect(file.textContent).toContain("load: new");
  await user.click(screen.getByRole("combobox", { name: "Compare with" }));
  const choices = within(await screen.findByRole("listbox", { name: "Compare with", hidden: true }));
  await user.click(choices.getByRole("option", { name: /^v1 ·/, hidden: true }));
  const diff = await screen.findByRole("group", { name: "Differences from version 1 to version 3" });
  expect(here()).toBe("/dags/etl/code?compare=1");
  expect(screen.getByText("1 change")).toBeTruthy();
  expect(diff.textContent).toContain("load: old");
  expect(diff.textContent).toContain("load: new");
});

it("the older version stands before the newer one whichever was chosen first, in both layouts", async () => {
  const { user, here } = open("/dags/etl/code?version=1&compare=2&diff=side");
  const name = "Differences from version 1 to version 2";
  const texts = within(await screen.findByRole("group", { name })).getAllByRole("textbox");
  expect(texts.map((each) => /load: (\w+)/.exec(each.textContent)?.[1])).toEqual(["old", "new"]);
  await user.click(screen.getByRole("radio", { name: "One below the other" }));
  expect(here()).toBe("/dags/etl/code?version=1&compare=2&diff=one");
  await waitFor(() => expect(within(screen.getByRole("group", { name })).getAllByRole("textbox")).toHaveLength(1));
  await expectAccessible(document.body);
});

it("says so when two versions are the same", async () => {
  open("/dags/etl/code?version=3&compare=2");
  expect(await screen.findByText("These two versions are the same.")).toBeTruthy();
});
